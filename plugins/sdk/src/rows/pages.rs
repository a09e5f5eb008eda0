//! Opening pages in segments, and what becomes of them.

use std::sync::Arc;

use millstream_abi::{FILLED, FilledPage, NOTHING, SPLIT_DONE, Status, TOO_SMALL};
use millstream_data::page::{RowBuilder, Sizing};

use super::{Columns, Handed, Rows};
use crate::Error;

/// Opens pages in lent segments, each with room for as many rows as the ones before let expect.
#[derive(Debug)]
pub(crate) struct Pages {
    columns: Arc<Columns>,
    sizing: Sizing,
    /// How larger segments are divided, while the next row fits none of the usual size.
    jumbo: Option<Sizing>,
    segment_size: usize,
}

/// What has become of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made(Handed);

impl Pages {
    /// Pages for rows of these columns in segments of `size` bytes.
    pub(crate) fn new(columns: &Arc<Columns>, size: u32) -> Result<Self, Error> {
        let segment_size = size as usize;
        let sizing = Sizing::new(Arc::clone(columns.shape()), segment_size).ok_or_else(|| {
            Error::new(format!(
                "a row does not fit a segment of {size} bytes: raise `memory.segment-size`"
            ))
        })?;
        let columns = Arc::clone(columns);
        Ok(Self { columns, sizing, jumbo: None, segment_size })
    }

    /// Lets `write` fill a page in the segment.
    pub(crate) fn fill(
        &mut self,
        segment: &mut [u8],
        write: impl FnOnce(&mut Rows<'_>) -> Result<(), Error>,
    ) -> Result<Made, Error> {
        let Self { columns, sizing, jumbo, segment_size } = self;
        let size = segment.len();
        if size < *segment_size {
            return Err(Error::new(format!(
                "the host lends a segment of {size} bytes, after it promised {}",
                *segment_size
            )));
        }
        let shape = Arc::clone(sizing.shape());
        // A segment that was asked for holds one row.
        let own_row = size > *segment_size;
        let layout = match own_row {
            true => jumbo.as_ref().unwrap_or(sizing).jumbo(size).map(Arc::new),
            false => Some(Arc::clone(sizing.layout())),
        };
        let layout = layout.ok_or_else(|| Error::new("a segment is too small for a row"))?;
        let builder = RowBuilder::new(segment, &shape, &layout);
        let written = columns.at_first.clone();
        let mut rows = Rows { builder, columns, written, handed: None };
        write(&mut rows)?;
        if let Some(handed) = rows.handed {
            return Ok(Made(handed));
        }
        let sealed = rows.builder.seal(false);
        if sealed.rows > 0 {
            if !own_row {
                sizing.learn(sealed.rows, &sealed.demand);
            }
            *jumbo = None;
            let page = FilledPage { length: sealed.length as u32, rows: sealed.rows as u32 };
            return Ok(Made(Handed { status: FILLED, page }));
        }
        // Nothing came, or a row was too large for the room that the layout leaves to strings or to
        // the elements of a list.
        if let Some(shortage) = sealed.shortage
            && (own_row || !sizing.make_room_of(shortage))
        {
            let sizing = jumbo.get_or_insert_with(|| sizing.clone());
            sizing.make_room_of(shortage);
            // How much it needs is not known; a few attempts cost little beside such a row.
            let needed = u32::try_from(size.saturating_mul(2)).unwrap_or(u32::MAX);
            let page = FilledPage { length: needed, rows: 0 };
            return Ok(Made(Handed { status: TOO_SMALL, page }));
        }
        Ok(Made(Handed { status: NOTHING, page: FilledPage::default() }))
    }
}

impl Made {
    /// What the host is told; `done` if there is nothing more behind this page.
    pub(crate) fn status(self, page: &mut FilledPage, done: bool) -> Result<Status, Error> {
        let Handed { status, page: made } = self.0;
        *page = made;
        Ok(if done && status != FILLED { SPLIT_DONE } else { status })
    }
}
