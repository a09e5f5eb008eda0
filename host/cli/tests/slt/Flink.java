import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.ResultKind;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/**
 * Answers scripts with a Flink in this process. A script comes as a line with its number of characters and then
 * these; its last statement is the query. Each change of the result is a line, as in `+I[a, 1]`, then comes the
 * line `done`, or `failed` with the reason.
 */
public class Flink {
    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader in =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String length = in.readLine(); length != null; length = in.readLine()) {
            char[] script = new char[Integer.parseInt(length)];
            for (int at = 0; at < script.length; ) {
                at += in.read(script, at, script.length - at);
            }
            try {
                answer(new String(script), out);
                out.println("done");
            } catch (Throwable error) {
                while (error.getCause() != null) {
                    error = error.getCause();
                }
                out.println("failed " + String.valueOf(error.getMessage()).replace('\n', ' '));
            }
        }
    }

    private static void answer(String script, PrintStream out) throws Exception {
        boolean batch = script.contains("'execution.runtime-mode' = 'batch'");
        TableEnvironment environment = TableEnvironment.create(
                batch ? EnvironmentSettings.inBatchMode() : EnvironmentSettings.inStreamingMode());
        environment.getConfig().set("parallelism.default", "1");
        // Watermarks behind each row, so that what is late does not depend on the clock.
        environment.getConfig().set("pipeline.auto-watermark-interval", "0");
        environment.getConfig().set("table.local-time-zone", "UTC");
        for (String statement : script.split(";\\s*\\n")) {
            if (statement.startsWith("SET 'table.")) {
                String[] parts = statement.split("'");
                environment.getConfig().set(parts[1], parts[3]);
            }
            if (statement.isBlank() || statement.startsWith("SET ")) {
                continue;
            }
            TableResult result = environment.executeSql(statement);
            if (result.getResultKind() != ResultKind.SUCCESS_WITH_CONTENT) {
                continue;
            }
            try (CloseableIterator<Row> changes = result.collect()) {
                changes.forEachRemaining(out::println);
            }
        }
    }
}
