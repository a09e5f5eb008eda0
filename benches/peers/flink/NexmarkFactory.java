import java.util.Set;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.connector.datagen.source.DataGeneratorSource;
import org.apache.flink.connector.datagen.source.GeneratorFunction;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.connector.source.ScanTableSource;
import org.apache.flink.table.connector.source.SourceProvider;
import org.apache.flink.table.connector.source.abilities.SupportsProjectionPushDown;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DynamicTableSourceFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.DataType;

/** The `nexmark` connector for a Flink: the same options, columns and events as ours, and only the columns asked for. */
public final class NexmarkFactory implements DynamicTableSourceFactory {
    private static final ConfigOption<Long> EVENTS = ConfigOptions.key("events").longType().noDefaultValue();
    private static final ConfigOption<Long> SEED = ConfigOptions.key("seed").longType().defaultValue(42L);

    @Override
    public String factoryIdentifier() {
        return "nexmark";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(EVENTS);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(SEED);
    }

    @Override
    public DynamicTableSource createDynamicTableSource(Context context) {
        FactoryUtil.TableFactoryHelper helper = FactoryUtil.createTableFactoryHelper(this, context);
        helper.validate();
        NexmarkEvents.Config config = new NexmarkEvents.Config();
        config.seed = helper.getOptions().get(SEED);
        DataType row = context.getPhysicalRowDataType();
        int[][] all = new int[row.getChildren().size()][];
        for (int column = 0; column < all.length; column++) {
            all[column] = new int[] {column};
        }
        return new Table(config, helper.getOptions().get(EVENTS), all, row);
    }

    /** A column is a path: 0 is the kind of event, 1 to 3 its rows, and below them their fields. */
    private static final class Table implements ScanTableSource, SupportsProjectionPushDown {
        private final NexmarkEvents.Config config;
        private final long events;
        private int[][] paths;
        private DataType row;

        Table(NexmarkEvents.Config config, long events, int[][] paths, DataType row) {
            this.config = config;
            this.events = events;
            this.paths = paths;
            this.row = row;
        }

        @Override
        public ChangelogMode getChangelogMode() {
            return ChangelogMode.insertOnly();
        }

        @Override
        public ScanRuntimeProvider getScanRuntimeProvider(ScanContext context) {
            TypeInformation<RowData> type = context.createTypeInformation(row);
            return SourceProvider.of(new DataGeneratorSource<>(new Rows(config, paths), events, type));
        }

        @Override
        public boolean supportsNestedProjection() {
            return true;
        }

        @Override
        public void applyProjection(int[][] paths, DataType row) {
            this.paths = paths;
            this.row = row;
        }

        @Override
        public DynamicTableSource copy() {
            return new Table(config, events, paths, row);
        }

        @Override
        public String asSummaryString() {
            return "nexmark";
        }
    }

    private static final class Rows implements GeneratorFunction<Long, RowData> {
        private static final int[] FIELDS = {8, 10, 7};
        private final NexmarkEvents.Config config;
        private final int[][] paths;
        private transient NexmarkEvents events;

        Rows(NexmarkEvents.Config config, int[][] paths) {
            this.config = config;
            this.paths = paths;
        }

        @Override
        public void open(SourceReaderContext context) {
            events = new NexmarkEvents(config);
        }

        @Override
        public RowData map(Long number) {
            events.make(number);
            GenericRowData row = new GenericRowData(paths.length);
            for (int column = 0; column < paths.length; column++) {
                int[] path = paths[column];
                if (path[0] == 0) {
                    row.setField(column, events.which);
                } else if (path[0] == events.which + 1) {
                    row.setField(column, path.length > 1 ? events.field(path[1]) : whole());
                }
            }
            return row;
        }

        private RowData whole() {
            GenericRowData row = new GenericRowData(FIELDS[events.which]);
            for (int field = 0; field < row.getArity(); field++) {
                row.setField(field, events.field(field));
            }
            return row;
        }
    }
}
