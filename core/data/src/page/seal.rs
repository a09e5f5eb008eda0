//! Completing a page: header, directory, and the gap between columns and heap closed.

use super::{
    ColumnKind, ENTRY_BYTES, FLAG_ROW_KINDS, FLAG_VALIDITY, HEADER_BYTES, INLINE_BYTES, Layout,
    MAGIC, Physical, Shape, Slot, VERSION, VIEW_BYTES, read_u32, write_u32,
};

/// How many elements each domain of a page holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths<'a> {
    pub(super) rows: u32,
    /// By domain; empty for a shape without lists. The first entry is not used.
    pub(super) lists: &'a [u32],
}

impl Lengths<'_> {
    /// Elements of a column, the closing offset of a column of offsets included.
    fn of(self, column: &Physical) -> usize {
        self.cells(column) + usize::from(column.kind == ColumnKind::Offsets)
    }

    /// Values of a column, each with a bit in its bitmap.
    fn cells(self, column: &Physical) -> usize {
        let domain = usize::from(column.domain);
        (if domain == 0 { self.rows } else { self.lists[domain] }) as usize
    }
}

/// Clears what appending does not write: bitmaps, and the first offset of each list column.
pub(super) fn clear_bitmaps(bytes: &mut [u8], shape: &Shape, layout: &Layout) {
    for (column, slot) in shape.columns.iter().zip(&layout.slots) {
        let length = layout.capacities[usize::from(column.domain)] as usize;
        let mut clear = |start: u32, length: usize| {
            bytes[start as usize..start as usize + length].fill(0);
        };
        if column.nullable {
            clear(slot.validity, length.div_ceil(8));
        }
        match column.kind {
            ColumnKind::Bit => clear(slot.data, length.div_ceil(8)),
            ColumnKind::Offsets => clear(slot.data, 4),
            _ => {}
        }
    }
}

/// Writes header and directory of a page whose cells are complete and whose heap begins at `heap`;
/// gives the length of the page in bytes.
pub(super) fn seal(
    bytes: &mut [u8],
    shape: &Shape,
    layout: &Layout,
    lengths: Lengths<'_>,
    heap: usize,
    compact: bool,
) -> usize {
    let heap_end = layout.size as usize;
    let mut end = HEADER_BYTES + ENTRY_BYTES * shape.columns.len();
    let mut last = end;
    for (i, column) in shape.columns.iter().enumerate() {
        let mut slot = layout.slots[i];
        let length = lengths.of(column);
        let cells = lengths.cells(column);
        let valid = column.nullable && !all_set(&bytes[slot.validity as usize..], cells);
        if compact {
            let bitmap = if valid { Some(cells.div_ceil(8)) } else { None };
            slot = pull_down(bytes, slot, bitmap, column.kind, length, &mut end);
        }
        last = slot.data as usize + column.kind.data_bytes(length);
        write_entry(bytes, i, column, slot, length, valid);
    }
    let (heap, heap_end) = match (heap == heap_end, compact) {
        (true, _) => (last, last),
        (false, false) => (heap, heap_end),
        (false, true) => {
            let start = last.next_multiple_of(8).min(heap);
            bytes.copy_within(heap..heap_end, start);
            shift_views(bytes, shape, lengths, heap - start);
            (start, start + heap_end - heap)
        }
    };
    write_header(bytes, shape, lengths.rows, heap, heap_end);
    heap_end
}

/// Moves a column down to `end`, which it advances; gives the column's new place.
fn pull_down(
    bytes: &mut [u8],
    slot: Slot,
    bitmap_bytes: Option<usize>,
    kind: ColumnKind,
    length: usize,
    end: &mut usize,
) -> Slot {
    let mut place = |from: u32, size: usize, alignment: usize| {
        let to = end.next_multiple_of(alignment);
        bytes.copy_within(from as usize..from as usize + size, to);
        *end = to + size;
        to as u32
    };
    let mut moved = slot;
    if let Some(size) = bitmap_bytes {
        moved.validity = place(slot.validity, size, 8);
    }
    moved.data = place(slot.data, kind.data_bytes(length), kind.alignment());
    moved
}

/// The heap has moved down by `distance`: so do the offsets in the views of long strings.
fn shift_views(bytes: &mut [u8], shape: &Shape, lengths: Lengths<'_>, distance: usize) {
    for (i, column) in shape.columns.iter().enumerate() {
        if !matches!(column.kind, ColumnKind::String | ColumnKind::Bytes) {
            continue;
        }
        let data = read_u32(bytes, HEADER_BYTES + ENTRY_BYTES * i + 8).unwrap_or(0) as usize;
        for row in 0..lengths.of(column) {
            let view = data + row * VIEW_BYTES;
            if read_u32(bytes, view).is_some_and(|length| length as usize > INLINE_BYTES) {
                let offset = read_u32(bytes, view + 12).unwrap_or(0) as usize;
                write_u32(bytes, view + 12, offset - distance);
            }
        }
    }
}

fn write_header(bytes: &mut [u8], shape: &Shape, rows: u32, heap: usize, heap_end: usize) {
    bytes[..HEADER_BYTES].fill(0);
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4] = VERSION;
    bytes[5] = if shape.row_kinds { FLAG_ROW_KINDS } else { 0 };
    bytes[6..8].copy_from_slice(&(shape.columns.len() as u16).to_le_bytes());
    bytes[8..16].copy_from_slice(&shape.fingerprint.to_le_bytes());
    write_u32(bytes, 16, rows as usize);
    write_u32(bytes, 20, heap_end);
    write_u32(bytes, 24, heap);
    write_u32(bytes, 28, heap_end);
}

fn write_entry(
    bytes: &mut [u8],
    index: usize,
    column: &Physical,
    slot: Slot,
    length: usize,
    valid: bool,
) {
    let at = HEADER_BYTES + ENTRY_BYTES * index;
    bytes[at] = column.kind.code();
    bytes[at + 1] = if valid { FLAG_VALIDITY } else { 0 };
    bytes[at + 2..at + 4].copy_from_slice(&(column.kind.width() as u16).to_le_bytes());
    write_u32(bytes, at + 4, length);
    write_u32(bytes, at + 8, slot.data as usize);
    write_u32(bytes, at + 12, if valid { slot.validity as usize } else { 0 });
}

/// Whether the first `length` bits are set.
fn all_set(bitmap: &[u8], length: usize) -> bool {
    let (whole, rest) = (length / 8, length % 8);
    let mask = (1u8 << rest) - 1;
    bitmap[..whole].iter().all(|byte| *byte == 0xFF) && (rest == 0 || bitmap[whole] & mask == mask)
}
