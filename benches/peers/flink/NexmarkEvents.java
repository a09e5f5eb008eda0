import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.data.binary.BinaryStringData;

/**
 * The events of the `nexmark` connector, number by number: what plugins/nexmark/src/model.rs makes, in Java. Texts are
 * slices of pools that are not copied, and only the fields that are asked for become objects.
 */
final class NexmarkEvents {
    private static final long FIRST_ID = 1000;
    private static final long EPOCH_EVENTS = 50;
    private static final long EPOCH_AUCTIONS = 3;
    private static final long IN_FLIGHT_AUCTIONS = 100;
    private static final long ACTIVE_PERSONS = 1000;
    private static final long ID_LEAD = 10;
    private static final long HOT_GROUP = 100;
    private static final int POOL = 16 << 10;
    private static final int CHANNELS = 10_000;
    private static final long PLACE = 1L << 63;
    private static final long TIME = 0x7469_6d65L;
    private static final String[] STATES = {"AZ", "CA", "ID", "OR", "WA", "WY"};
    private static final String[] CITIES = {
        "Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland",
        "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"
    };
    private static final String[] FIRST_NAMES = {
        "Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"
    };
    private static final String[] LAST_NAMES = {
        "Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"
    };

    /** What the events depend on, in the connector's words. */
    static final class Config implements Serializable {
        long seed = 42;
        long baseMicros = 1_689_379_170_000_000L;
        long gapMicrosMin = 100;
        long gapMicrosMax = 1000;
    }

    /** A part of a pool, or a text of its own. */
    private static final class Text {
        byte[] bytes;
        int offset;
        int length;

        void set(byte[] bytes, int offset, int length) {
            this.bytes = bytes;
            this.offset = offset;
            this.length = length;
        }

        void set(String text) {
            byte[] own = text.getBytes(StandardCharsets.UTF_8);
            set(own, 0, own.length);
        }

        StringData data() {
            return BinaryStringData.fromBytes(bytes, offset, length);
        }
    }

    private final Config config;
    private final byte[] spaced = new byte[POOL];
    private final byte[] dense = new byte[POOL];
    private final StringData[] hotNames = new StringData[4];
    private final StringData[] hotUrls = new StringData[4];
    private final StringData[] names = new StringData[CHANNELS];
    private final StringData[] urls = new StringData[CHANNELS];

    private long random;

    /** 0 for a person, 1 for an auction, 2 for a bid: the one that the fields below are of. */
    int which;
    private long micros;
    private long id;
    private final Text name = new Text();
    private final Text email = new Text();
    private final Text card = new Text();
    private String city;
    private String state;
    private final Text description = new Text();
    private long initialBid;
    private long reserve;
    private long expiresMicros;
    private long seller;
    private long category;
    private long bidder;
    private long price;
    private StringData channel;
    private StringData url;
    private final Text extra = new Text();

    NexmarkEvents(Config config) {
        this.config = config;
        begin(config.seed, PLACE);
        for (int i = 0; i < POOL; i++) {
            spaced[i] = letterOr(' ');
        }
        for (int i = 0; i < POOL; i++) {
            dense[i] = letter();
        }
        String[] hot = {"Google", "Facebook", "Baidu", "Apple"};
        for (int i = 0; i < hot.length; i++) {
            hotNames[i] = StringData.fromString(hot[i]);
            hotUrls[i] = StringData.fromString(url());
        }
        for (int i = 0; i < CHANNELS; i++) {
            String url = url();
            if (below(10) > 0) {
                url += "&channel_id=" + (i * 2_654_435_761L & 0x7FFF_FFFFL);
            }
            names[i] = StringData.fromString("channel-" + i);
            urls[i] = StringData.fromString(url);
        }
    }

    /** Makes the event with this number. */
    void make(long number) {
        long offset = number % EPOCH_EVENTS;
        long epoch = number / EPOCH_EVENTS;
        micros = micros(number);
        begin(config.seed, number);
        if (offset == 0) {
            which = 0;
            person(epoch);
        } else if (offset <= EPOCH_AUCTIONS) {
            which = 1;
            auction(epoch, epoch * EPOCH_AUCTIONS + offset - 1);
        } else {
            which = 2;
            bid(epoch);
        }
    }

    /** A field of the event at hand, by its place in the schema of its kind. */
    Object field(int field) {
        switch (which) {
            case 0:
                switch (field) {
                    case 0: return id;
                    case 1: return name.data();
                    case 2: return email.data();
                    case 3: return card.data();
                    case 4: return StringData.fromString(city);
                    case 5: return StringData.fromString(state);
                    case 6: return timestamp(micros);
                    default: return extra.data();
                }
            case 1:
                switch (field) {
                    case 0: return id;
                    case 1: return name.data();
                    case 2: return description.data();
                    case 3: return initialBid;
                    case 4: return reserve;
                    case 5: return timestamp(micros);
                    case 6: return timestamp(expiresMicros);
                    case 7: return seller;
                    case 8: return category;
                    default: return extra.data();
                }
            default:
                switch (field) {
                    case 0: return id;
                    case 1: return bidder;
                    case 2: return price;
                    case 3: return channel;
                    case 4: return url;
                    case 5: return timestamp(micros);
                    default: return extra.data();
                }
        }
    }

    /** Columns are TIMESTAMP(3). */
    private static TimestampData timestamp(long micros) {
        return TimestampData.fromEpochMillis(Math.floorDiv(micros, 1000));
    }

    private long micros(long number) {
        long min = config.gapMicrosMin;
        long max = config.gapMicrosMax;
        begin(config.seed ^ TIME, number);
        return config.baseMicros + number * (min + max) / 2 + below((max - min) / 2 + 1);
    }

    private void person(long person) {
        id = FIRST_ID + person;
        name.set(one(FIRST_NAMES) + " " + one(LAST_NAMES));
        words(7, email);
        String user = email.data().toString();
        words(5, email);
        email.set((user + "@" + email.data() + ".com").replace(' ', '_'));
        StringBuilder digits = new StringBuilder(19);
        for (int group = 0; group < 4; group++) {
            if (group > 0) {
                digits.append(' ');
            }
            long four = below(10_000);
            digits.append(four / 1000).append(four / 100 % 10).append(four / 10 % 10).append(four % 10);
        }
        card.set(digits.toString());
        city = one(CITIES);
        state = one(STATES);
        extra(8 + name.length + email.length + card.length + city.length() + state.length(), 200);
    }

    private void auction(long epoch, long auction) {
        long by = below(4) == 0 ? activePerson(epoch) : epoch / HOT_GROUP * HOT_GROUP;
        id = FIRST_ID + auction;
        seller = FIRST_ID + by;
        category = 10 + below(5);
        initialBid = price();
        reserve = initialBid + price();
        long gap = (config.gapMicrosMin + config.gapMicrosMax) / 2;
        long horizon = Math.max(1, IN_FLIGHT_AUCTIONS * EPOCH_EVENTS / EPOCH_AUCTIONS * gap / 1000);
        expiresMicros = micros + 1000 * (1 + below(2 * horizon));
        words(20, name);
        words(100, description);
        extra(48 + name.length + description.length, 500);
    }

    private void bid(long epoch) {
        long newest = epoch * EPOCH_AUCTIONS + EPOCH_AUCTIONS - 1;
        if (below(2) == 0) {
            long oldest = Math.max(0, newest - IN_FLIGHT_AUCTIONS);
            id = FIRST_ID + oldest + below(newest - oldest + 1 + ID_LEAD);
        } else {
            id = FIRST_ID + newest / HOT_GROUP * HOT_GROUP;
        }
        bidder = FIRST_ID + (below(4) == 0 ? activePerson(epoch) : epoch / HOT_GROUP * HOT_GROUP + 1);
        price = price();
        if (below(2) == 0) {
            int one = (int) below(4);
            channel = hotNames[one];
            url = hotUrls[one];
        } else {
            int one = (int) below(CHANNELS);
            channel = names[one];
            url = urls[one];
        }
        extra(32, 100);
    }

    private long activePerson(long newest) {
        long known = newest + 1;
        long active = Math.min(known, ACTIVE_PERSONS);
        return known - active + below(active + ID_LEAD);
    }

    private long price() {
        return Math.round(Math.pow(10, unit() * 6) * 100);
    }

    private void words(long end, Text text) {
        int length = 3 + (int) below(end - 3);
        int start = (int) below(POOL - length + 1);
        int stop = start + length;
        while (start < stop && spaced[start] == ' ') {
            start++;
        }
        while (start < stop && spaced[stop - 1] == ' ') {
            stop--;
        }
        text.set(spaced, start, stop - start);
    }

    private void extra(int size, int mean) {
        if (size > mean) {
            extra.set(dense, 0, 0);
            return;
        }
        int wanted = mean - size;
        int spread = wanted / 5;
        int length = wanted - spread + (int) below(2L * spread + 1);
        extra.set(dense, (int) below(POOL - length + 1), length);
    }

    private String url() {
        StringBuilder url = new StringBuilder("https://www.nexmark.com");
        for (int part = 0; part < 3; part++) {
            url.append('/');
            int letters = 3 + (int) below(2);
            for (int i = 0; i < letters; i++) {
                url.append((char) letterOr('_'));
            }
        }
        return url.append("/item.htm?query=1").toString();
    }

    private byte letter() {
        return (byte) ('a' + below(26));
    }

    private byte letterOr(char other) {
        return below(13) == 0 ? (byte) other : letter();
    }

    private String one(String[] all) {
        return all[(int) below(all.length)];
    }

    private void begin(long seed, long place) {
        random = mix(seed ^ mix(place));
    }

    private long bits() {
        random += 0x9E37_79B9_7F4A_7C15L;
        return mix(random);
    }

    private long below(long bound) {
        long bits = bits();
        return Math.multiplyHigh(bits, bound) + (bits >> 63 & bound);
    }

    private double unit() {
        return (bits() >>> 11) * 0x1.0p-53;
    }

    private static long mix(long value) {
        value = (value ^ (value >>> 30)) * 0xBF58_476D_1CE4_E5B9L;
        value = (value ^ (value >>> 27)) * 0x94D0_49BB_1331_11EBL;
        return value ^ (value >>> 31);
    }
}
