//! RocksDB, asked for what the benchmark `lsm` asks for: see [README.md](../README.md).
//!
//! It has the same memory: an LRU cache of all of it, which write buffers are charged to and of which they
//! take at most three eighths, as ours; index and filter blocks, in partitions, are in it, too. There is no
//! write-ahead log.
//! Filters have ten bits for a key, blocks 4 KiB, and nothing is compressed.

use millstream_peer_workload::{Bytes, Engine, KEY, Task, run};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType,
    FlushOptions, LruCacheOptions, Options, ReadOptions, SliceTransform, WaitForCompactOptions, WriteBufferManager, WriteOptions,
};

const COUNTS: &str = "counts";
const MAPS: &str = "maps";
/// Threads that flush and compact: as many as this kind of machine has.
const THREADS: i32 = 2;

fn main() {
    let task = Task::parse(std::env::args().skip(1));
    run(&task, &mut Rocks::open(&task));
}

struct Rocks {
    db: DB,
    options: WriteOptions,
}

impl Rocks {
    fn open(task: &Task) -> Self {
        let memory = (task.mib << 20) as usize;
        // One shard: in many a filter of a file is larger than its shard, and is read for each key.
        let mut shards = LruCacheOptions::default();
        shards.set_capacity(memory);
        shards.set_num_shard_bits(0);
        let cache = Cache::new_lru_cache_opts(&shards);
        let mut blocks = BlockBasedOptions::default();
        blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        blocks.set_partition_filters(true);
        blocks.set_metadata_block_size(4 << 10);
        blocks.set_pin_top_level_index_and_filter(true);
        blocks.set_block_cache(&cache);
        blocks.set_block_size(4 << 10);
        blocks.set_bloom_filter(10.0, false);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.increase_parallelism(THREADS);
        options.set_compression_type(DBCompressionType::None);
        options.set_block_based_table_factory(&blocks);
        let buffers = memory / 8 * 3;
        let manager = WriteBufferManager::new_write_buffer_manager_with_cache(buffers, false, cache);
        options.set_write_buffer_manager(&manager);
        options.set_write_buffer_size((buffers / 2).min(64 << 20));
        let mut maps = options.clone();
        maps.set_prefix_extractor(SliceTransform::create_fixed_prefix(KEY));
        let families = [
            ColumnFamilyDescriptor::new(COUNTS, options.clone()),
            ColumnFamilyDescriptor::new(MAPS, maps),
        ];
        let db = DB::open_cf_descriptors(&options, &task.directory, families);
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        Self { db: db.expect("a database"), options }
    }

    fn family(&self, name: &str) -> &rocksdb::ColumnFamily {
        self.db.cf_handle(name).expect("it was opened")
    }
}

impl Engine for Rocks {
    fn add(&mut self, keys: &[Bytes]) {
        let counts = self.family(COUNTS);
        for key in keys {
            let old = self.db.get_pinned_cf(counts, key).expect("a disk");
            let old = old.and_then(|old| old.first_chunk().map(|old| u64::from_le_bytes(*old)));
            let count = old.unwrap_or(0) + 1;
            let put = self.db.put_cf_opt(counts, key, count.to_le_bytes(), &self.options);
            put.expect("a disk");
        }
    }

    fn put(&mut self, maps: &[Bytes], entry: u64) {
        let family = self.family(MAPS);
        for map in maps {
            let name = [&map[..], &entry.to_be_bytes()].concat();
            let put = self.db.put_cf_opt(family, name, entry.to_le_bytes(), &self.options);
            put.expect("a disk");
        }
    }

    fn scan(&mut self, map: &Bytes) -> u64 {
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        let mut entries = self.db.raw_iterator_cf_opt(self.family(MAPS), options);
        entries.seek(map);
        let mut count = 0;
        while entries.valid() {
            count += u64::from(entries.value().is_some_and(|value| value.len() == 8));
            entries.next();
        }
        entries.status().expect("a disk");
        count
    }

    fn settle(&mut self) {
        for name in [COUNTS, MAPS] {
            self.db.flush_cf_opt(self.family(name), &FlushOptions::default()).expect("a disk");
        }
        self.db.wait_for_compact(&WaitForCompactOptions::default()).expect("a disk");
    }
}
