import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/**
 * Runs a script of Nexmark on a Flink in this process, twice, so that everything is loaded, planned and compiled once;
 * the first time another script, if there is one. Prints the CPU-seconds and the seconds of the second run, and the
 * peak memory of the process in MB.
 *
 *   java Nexmark SCRIPT [FIRST]
 */
public class Nexmark {
    public static void main(String[] arguments) throws Exception {
        String script = Files.readString(Path.of(arguments[0]));
        run(arguments.length > 1 ? Files.readString(Path.of(arguments[1])) : script);
        OperatingSystemMXBean system =
                (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long cpu = system.getProcessCpuTime();
        long start = System.nanoTime();
        run(script);
        double seconds = (System.nanoTime() - start) / 1e9;
        double used = (system.getProcessCpuTime() - cpu) / 1e9;
        String peak = Files.readAllLines(Path.of("/proc/self/status")).stream()
                .filter(line -> line.startsWith("VmHWM")).findFirst().orElse("0")
                .replaceAll("\\D", "");
        System.out.printf("%.2f %.2f %d%n", used, seconds, Long.parseLong(peak) / 1024);
        // Its threads need not end.
        Runtime.getRuntime().halt(0);
    }

    private static void run(String script) throws Exception {
        boolean batch = script.contains("'execution.runtime-mode' = 'batch'");
        TableEnvironment environment = TableEnvironment.create(
                batch ? EnvironmentSettings.inBatchMode() : EnvironmentSettings.inStreamingMode());
        String subtasks = System.getenv().getOrDefault("PARALLELISM", "1");
        environment.getConfig().set("parallelism.default", subtasks);
        environment.getConfig().set("table.local-time-zone", "UTC");
        // Comments may have a semicolon at the end of a line.
        String statements = script.replaceAll("(?m)^--.*$", "");
        for (String statement : statements.split(";\\s*\\n")) {
            if (statement.isBlank() || statement.strip().startsWith("SET ")) {
                continue;
            }
            TableResult result = environment.executeSql(statement);
            if (result.getJobClient().isPresent()) {
                result.await();
            }
        }
    }
}
