//! Views: round trips over segments of any size, seams, ends, damage.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::NonNull;

use proptest::prelude::*;

use super::{Input, InputView, Output, OutputView, SliceReader, SliceWriter, ViewError};
use crate::segment::Segment;

/// A segment as small as a test likes, filled with garbage.
fn tiny(len: usize) -> Segment {
    unsafe extern "C" fn free(ctx: *mut c_void, len: u64) {
        // SAFETY: made from a boxed slice of this length below.
        drop(unsafe {
            Box::from_raw(core::ptr::slice_from_raw_parts_mut(ctx.cast::<u8>(), len as usize))
        });
    }
    let start = NonNull::new(Box::into_raw(vec![0xaa_u8; len].into_boxed_slice()).cast()).unwrap();
    // SAFETY: the allocation is handed over to the segment and freed by `free` only.
    unsafe { Segment::foreign(start, len, start.as_ptr().cast(), len as u64, free) }
}

fn tiny_segments(sizes: &[usize]) -> impl FnMut() -> Option<Segment> {
    let mut sizes = sizes.iter().copied();
    move || sizes.next().map(tiny)
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    U8(u8),
    I16(i16),
    U32(u32),
    I64(i64),
    I128(i128),
    F32(f32),
    F64(f64),
    Bool(bool),
    VarU32(u32),
    VarU64(u64),
    VarI32(i32),
    VarI64(i64),
    Bytes(Vec<u8>),
    Text(String),
    Skip(u8),
}

fn values() -> impl Strategy<Value = Vec<Value>> {
    let value = prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        any::<i128>().prop_map(Value::I128),
        (-1e30f32..1e30).prop_map(Value::F32),
        (-1e300f64..1e300).prop_map(Value::F64),
        any::<bool>().prop_map(Value::Bool),
        any::<u32>().prop_map(Value::VarU32),
        (any::<u64>(), 0..64u32).prop_map(|(value, shift)| Value::VarU64(value >> shift)),
        any::<i32>().prop_map(Value::VarI32),
        (any::<i64>(), 0..64u32).prop_map(|(value, shift)| Value::VarI64(value >> shift)),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        "\\PC{0,12}".prop_map(Value::Text),
        any::<u8>().prop_map(Value::Skip),
    ];
    proptest::collection::vec(value, 0..30)
}

fn write(output: &mut impl Output, value: &Value) -> Result<(), ViewError> {
    match value {
        Value::U8(value) => output.write_u8(*value),
        Value::I16(value) => output.write_i16(*value),
        Value::U32(value) => output.write_u32(*value),
        Value::I64(value) => output.write_i64(*value),
        Value::I128(value) => output.write_i128(*value),
        Value::F32(value) => output.write_f32(*value),
        Value::F64(value) => output.write_f64(*value),
        Value::Bool(value) => output.write_bool(*value),
        Value::VarU32(value) => output.write_varint_u32(*value),
        Value::VarU64(value) => output.write_varint_u64(*value),
        Value::VarI32(value) => output.write_varint_i32(*value),
        Value::VarI64(value) => output.write_varint_i64(*value),
        Value::Bytes(value) => output.write_bytes(value),
        Value::Text(value) => output.write_str(value),
        Value::Skip(n) => output.skip(u64::from(*n)),
    }
}

/// Reads a value of the same kind.
fn read<'a>(input: &mut impl Input<'a>, like: &Value) -> Result<Value, ViewError> {
    Ok(match like {
        Value::U8(_) => Value::U8(input.read_u8()?),
        Value::I16(_) => Value::I16(input.read_i16()?),
        Value::U32(_) => Value::U32(input.read_u32()?),
        Value::I64(_) => Value::I64(input.read_i64()?),
        Value::I128(_) => Value::I128(input.read_i128()?),
        Value::F32(_) => Value::F32(input.read_f32()?),
        Value::F64(_) => Value::F64(input.read_f64()?),
        Value::Bool(_) => Value::Bool(input.read_bool()?),
        Value::VarU32(_) => Value::VarU32(input.read_varint_u32()?),
        Value::VarU64(_) => Value::VarU64(input.read_varint_u64()?),
        Value::VarI32(_) => Value::VarI32(input.read_varint_i32()?),
        Value::VarI64(_) => Value::VarI64(input.read_varint_i64()?),
        Value::Bytes(_) => Value::Bytes(input.read_bytes()?.into_owned()),
        Value::Text(_) => Value::Text(input.read_str()?.into_owned()),
        Value::Skip(n) => input.skip(u64::from(*n)).map(|()| like.clone())?,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        values in values(),
        sizes in proptest::collection::vec(1usize..24, 400),
    ) {
        let mut output = OutputView::new(tiny_segments(&sizes));
        let mut flat = Vec::new();
        for value in &values {
            match write(&mut output, value) {
                Ok(()) => write(&mut flat, value).unwrap(),
                // So many bytes that 400 tiny segments are not enough.
                Err(error) => {
                    prop_assert!(matches!(error, ViewError::OutOfSpace { .. }), "{error}");
                    return Ok(());
                }
            }
            prop_assert_eq!(output.position(), flat.position());
        }
        let buffers = output.finish();
        let mut input = InputView::new(&buffers);
        let mut reader = SliceReader::new(&flat);
        for value in &values {
            prop_assert_eq!(&read(&mut input, value).unwrap(), value);
            prop_assert_eq!(&read(&mut reader, value).unwrap(), value);
            prop_assert_eq!(input.position(), reader.position());
            prop_assert_eq!(input.remaining(), reader.remaining());
        }
        prop_assert_eq!(input.remaining(), 0);
    }

    /// Reading anything out of anything ends in a value or an error that leaves the position.
    #[test]
    fn damaged_bytes_never_panic(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 0..6),
        kinds in values(),
    ) {
        let flat = pieces.concat();
        let mut input = InputView::new(&pieces);
        let mut reader = SliceReader::new(&flat);
        for kind in &kinds {
            let before = input.position();
            let (ours, flat) = (read(&mut input, kind), read(&mut reader, kind));
            // Bit patterns of floats that are no numbers do not equal themselves.
            let (ours, flat) = (alloc::format!("{ours:?}"), alloc::format!("{flat:?}"));
            prop_assert_eq!(&ours, &flat, "seams change nothing");
            if ours.starts_with("Err") {
                prop_assert_eq!(input.position(), before);
            }
            prop_assert_eq!(input.position(), reader.position());
        }
    }

    #[test]
    fn seeking_goes_anywhere_within(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..6), 0..6),
        positions in proptest::collection::vec(0u64..40, 0..12),
    ) {
        let flat = pieces.concat();
        let mut input = InputView::new(&pieces);
        for position in positions {
            let outcome = input.seek(position);
            match flat.get(position as usize..) {
                Some(rest) => {
                    prop_assert_eq!(outcome, Ok(()));
                    prop_assert_eq!(input.clone().read_slice(rest.len() as u64).unwrap(), rest);
                }
                None => {
                    let len = flat.len() as u64;
                    prop_assert_eq!(outcome, Err(ViewError::OutOfRange { offset: position, len }));
                }
            }
        }
    }

    #[test]
    fn overwriting_and_taking_back_act_as_on_a_vector(
        sizes in proptest::collection::vec(1usize..6, 20),
        steps in proptest::collection::vec(
            (0u8..3, 0u64..24, proptest::collection::vec(any::<u8>(), 0..9)),
            0..20,
        ),
    ) {
        let mut output = OutputView::new(tiny_segments(&sizes));
        let mut model: Vec<u8> = Vec::new();
        for (step, position, bytes) in steps {
            match step {
                0 => match output.write(&bytes) {
                    Ok(()) => model.extend(&bytes),
                    Err(_) => {
                        // No segment left: what found room was written.
                        let fitted = output.position() as usize - model.len();
                        model.extend(&bytes[..fitted]);
                    }
                },
                1 => {
                    let end = position as usize + bytes.len();
                    let possible = end <= model.len();
                    prop_assert_eq!(output.overwrite(position, &bytes).is_ok(), possible);
                    if possible {
                        model[position as usize..end].copy_from_slice(&bytes);
                    }
                }
                _ => {
                    let possible = position as usize <= model.len();
                    prop_assert_eq!(output.truncate(position).is_ok(), possible);
                    model.truncate(position as usize);
                }
            }
            prop_assert_eq!(output.position(), model.len() as u64);
        }
        let buffers = output.finish();
        prop_assert!(buffers.iter().all(|buffer| !buffer.is_empty()), "no empty segment is kept");
        let read: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        prop_assert_eq!(read, model);
    }

    #[test]
    fn copying_between_views_keeps_the_bytes(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..6),
        n in 0u64..60,
    ) {
        let flat = pieces.concat();
        let mut input = InputView::new(&pieces);
        let mut output = OutputView::new(tiny_segments(&[3; 40]));
        let outcome = output.write_from(&mut input, n);
        if n <= flat.len() as u64 {
            prop_assert_eq!(outcome, Ok(()));
            prop_assert_eq!(input.position(), n);
            let read: Vec<u8> = output.finish().iter().flat_map(|buffer| buffer.to_vec()).collect();
            prop_assert_eq!(&read, &flat[..n as usize]);
        } else {
            let available = flat.len() as u64;
            prop_assert_eq!(outcome, Err(ViewError::EndOfData { offset: 0, wanted: n, available }));
            prop_assert_eq!((input.position(), output.position()), (0, 0));
        }
    }
}

#[test]
fn the_bytes_are_little_endian_and_leb128() {
    let mut bytes = Vec::new();
    bytes.write_u32(0x0102_0304).unwrap();
    bytes.write_i16(-2).unwrap();
    bytes.write_f64(1.0).unwrap();
    bytes.write_varint_u32(300).unwrap();
    bytes.write_varint_i32(-1).unwrap();
    bytes.write_varint_i64(64).unwrap();
    bytes.write_str("né").unwrap();
    bytes.write_bool(true).unwrap();
    assert_eq!(
        bytes,
        [
            4, 3, 2, 1, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0xac, 2, 1, 0x80, 1, 3, b'n',
            0xc3, 0xa9, 1
        ]
    );
}

#[test]
fn a_value_in_one_piece_is_borrowed_and_one_across_a_seam_is_copied() {
    let pieces = [&b"abcd"[..], b"", b"efgh"];
    let mut input = InputView::new(&pieces);
    assert!(matches!(input.read_slice(3), Ok(Cow::Borrowed(b"abc"))));
    assert!(matches!(input.read_slice(3), Ok(Cow::Owned(bytes)) if bytes == b"def"));
    assert!(matches!(input.read_slice(2), Ok(Cow::Borrowed(b"gh"))));
    assert!(matches!(input.read_slice(0), Ok(Cow::Borrowed(b""))));
    let mut target = [0; 4];
    input.seek(6).unwrap();
    assert_eq!((input.read(&mut target), &target), (2, b"gh\0\0"));
    assert_eq!(input.read(&mut target), 0, "the end");
}

#[test]
fn the_end_is_an_error_with_its_place() {
    let mut reader = SliceReader::new(&[1, 2, 3]);
    reader.skip(1).unwrap();
    let end = |wanted| Err(ViewError::EndOfData { offset: 1, wanted, available: 2 });
    assert_eq!(reader.skip(3), end(3));
    assert_eq!(reader.read_u32().map(|_| ()), end(4));
    assert_eq!(reader.read_borrowed(3).map(|_| ()), end(3));
    assert_eq!(reader.read_exact_into(&mut [0; 3]), end(3));
    assert_eq!(reader.read_borrowed(2), Ok(&[2, 3][..]));
    assert_eq!(reader.rest(), b"");
}

#[test]
fn an_absurd_length_allocates_nothing() {
    let mut bytes = Vec::new();
    bytes.write_varint_u64(u64::MAX).unwrap();
    let pieces = [&bytes[..5], &bytes[5..]];
    let mut input = InputView::new(&pieces);
    let error = input.read_bytes().unwrap_err();
    assert_eq!(error, ViewError::EndOfData { offset: 10, wanted: u64::MAX, available: 0 });
    assert_eq!(input.position(), 0);
}

#[test]
fn varints_fit_their_type() {
    for (bytes, bits) in [
        (&[0xff, 0xff, 0xff, 0xff, 0x10][..], 32),
        (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 32),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], 64),
        (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 64),
    ] {
        let mut reader = SliceReader::new(bytes);
        let outcome = match bits {
            32 => reader.read_varint_u32().map(u64::from),
            _ => reader.read_varint_u64(),
        };
        assert_eq!(outcome, Err(ViewError::VarintTooLong { offset: 0, bits }));
        assert_eq!(reader.position(), 0);
    }
    let mut reader = SliceReader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(reader.read_varint_u32(), Ok(u32::MAX));
}

#[test]
fn a_full_slice_takes_all_or_nothing() {
    let mut target = [0; 3];
    let mut writer = SliceWriter::new(&mut target);
    writer.write_u16(7).unwrap();
    assert_eq!(writer.write_u16(8), Err(ViewError::OutOfSpace { offset: 3, wanted: 1 }));
    assert_eq!((writer.written(), writer.remaining()), (&[7, 0][..], 1));
    writer.skip(1).unwrap();
    assert!(writer.skip(1).is_err());
    assert_eq!(
        Vec::<u8>::new().skip(u64::MAX),
        Err(ViewError::OutOfSpace { offset: 0, wanted: u64::MAX })
    );
}
