//! A device without std that writes readings into pages and sends them as far as credit allows.
//!
//! It uses three pieces of Millstream's core, each on its own: pages with a derived record, a
//! subpartition's queue, and the producer's end of the credit protocol. `sh check.sh` runs it and
//! shows that no symbol of std is in it.

#![no_std]
#![no_main]

extern crate alloc;

mod bare;

use alloc::{sync::Arc, vec, vec::Vec};

use bare::print;
use millstream_data::{
    Record, Value,
    page::{PageBuilder, Shape, Sizing, ValidPage},
};
use millstream_exchange::{
    ChannelId,
    credit::{Head, ProducerCredit},
    element::Data,
    partition::Subpartition,
};

/// What the device measures.
#[derive(Clone, Debug, PartialEq, Record)]
struct Reading {
    sensor: u16,
    celsius: f32,
    note: Option<alloc::string::String>,
}

const SEGMENT_BYTES: usize = 4096;

/// The program. Returns what the process does.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    // Sixteen-byte words, so that the page is aligned.
    let mut memory: Vec<u128> = vec![0; SEGMENT_BYTES / 16];
    let shape = Arc::new(Shape::new(&<Reading as millstream_data::value::Record>::schema()));
    let Some(sizing) = Sizing::new(Arc::clone(&shape), SEGMENT_BYTES) else { return 1 };
    let bytes: &mut [u8] = bytes_of(&mut memory);
    let mut page = PageBuilder::<Reading, _>::new(bytes, &shape, sizing.layout());
    let mut rows = 0u16;
    loop {
        let note = (rows % 10 == 0).then(|| "calibrated a moment ago".into());
        let reading = Reading { sensor: rows % 4, celsius: 20.0 + f32::from(rows) / 8.0, note };
        if page.append(reading.view()).is_err() {
            break;
        }
        rows += 1;
    }
    let sealed = page.seal(&shape, true);
    let (bytes, length) = (sealed.buffer, sealed.length);

    // A receiver validates the page before it reads it.
    let Ok(valid) = ValidPage::validate(&bytes[..length], &shape) else { return 2 };
    if valid.rows() != usize::from(rows) {
        return 3;
    }

    // Three copies are queued, two credits are granted: two are sent, one waits.
    let mut queue = Subpartition::new(SEGMENT_BYTES as u32);
    for _ in 0..3 {
        if queue.push_data(Data::page(&bytes[..length], length as u32)).is_err() {
            return 4;
        }
    }
    let mut credit = ProducerCredit::new(ChannelId(0), 2);
    let mut sent = 0;
    while queue.head() == Head::Data {
        // Without a permit there is nothing to send with: it does not compile.
        let Some(permit) = credit.permit() else { break };
        let cleared = queue.take_data(permit);
        sent += cleared.data.buffer.len();
    }
    if sent != 2 * length || queue.backlog() != 1 {
        return 5;
    }
    print("embedded: a page was built, validated and sent twice; the third waits for credit\n");
    0
}

fn bytes_of(memory: &mut [u128]) -> &mut [u8] {
    // SAFETY: any byte of a u128 is a u8, and the length covers exactly these words.
    unsafe { core::slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), memory.len() * 16) }
}
