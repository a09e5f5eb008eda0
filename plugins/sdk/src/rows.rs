//! Pages that a plugin fills in segments of the host.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use millstream_abi::{FILLED, FilledPage, NOTHING, SPLIT_DONE, Status, TOO_SMALL};
use millstream_data::page::{RowBuilder, Shape, Sizing};

use crate::Error;

/// The page that is being filled, in a segment that the host lends for the call: its columns are
/// those of the schema.
///
/// Write each cell of a row, then commit it: the functions are those of [`RowBuilder`]. A reader
/// that gets its rows from a format hands the page on, see
/// [`Decoder::fill`](crate::format::Decoder::fill).
pub struct Rows<'a> {
    builder: RowBuilder<&'a mut [u8]>,
    /// Somebody else has made a page in the segment, or tried to.
    handed: Option<Handed>,
}

/// What somebody else has made of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handed {
    /// [`FILLED`], [`NOTHING`] or [`TOO_SMALL`].
    pub(crate) status: Status,
    pub(crate) page: FilledPage,
}

impl Rows<'_> {
    /// Lets somebody else make the page.
    pub(crate) fn hand_over<E>(
        &mut self,
        make: impl FnOnce(&mut [u8]) -> Result<Handed, E>,
    ) -> Result<(), E> {
        self.handed = Some(make(self.builder.buffer_mut())?);
        Ok(())
    }

    /// Whether nothing was written or handed over yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.builder.rows() == 0 && self.handed.is_none()
    }
}

impl<'a> Deref for Rows<'a> {
    type Target = RowBuilder<&'a mut [u8]>;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.builder
    }
}

impl DerefMut for Rows<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.builder
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.builder.fmt(f)
    }
}

/// Opens pages in lent segments, each with room for as many rows as the ones before let expect.
#[derive(Debug)]
pub(crate) struct Pages {
    sizing: Sizing,
    /// How larger segments are divided, while the next row fits none of the usual size.
    jumbo: Option<Sizing>,
    segment_size: usize,
}

/// What has become of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made(Handed);

impl Pages {
    /// Pages for rows of `shape` in segments of `size` bytes.
    pub(crate) fn new(shape: &Arc<Shape>, size: u32) -> Result<Self, Error> {
        let segment_size = size as usize;
        let sizing = Sizing::new(Arc::clone(shape), segment_size).ok_or_else(|| {
            Error::new(format!(
                "a row does not fit a segment of {size} bytes: raise `memory.segment-size`"
            ))
        })?;
        Ok(Self { sizing, jumbo: None, segment_size })
    }

    /// Lets `write` fill a page in the segment.
    pub(crate) fn fill(
        &mut self,
        segment: &mut [u8],
        write: impl FnOnce(&mut Rows<'_>) -> Result<(), Error>,
    ) -> Result<Made, Error> {
        let size = segment.len();
        if size < self.segment_size {
            return Err(Error::new(format!(
                "the host lends a segment of {size} bytes, after it promised {}",
                self.segment_size
            )));
        }
        let shape = Arc::clone(self.sizing.shape());
        // A segment that was asked for holds one row.
        let jumbo = size > self.segment_size;
        let layout = match jumbo {
            true => self.jumbo.as_ref().unwrap_or(&self.sizing).jumbo(size).map(Arc::new),
            false => Some(Arc::clone(self.sizing.layout())),
        };
        let layout = layout.ok_or_else(|| Error::new("a segment is too small for a row"))?;
        let mut rows = Rows { builder: RowBuilder::new(segment, &shape, &layout), handed: None };
        write(&mut rows)?;
        if let Some(handed) = rows.handed {
            return Ok(Made(handed));
        }
        let sealed = rows.builder.seal(false);
        if sealed.rows > 0 {
            if !jumbo {
                self.sizing.learn(sealed.rows, &sealed.demand);
            }
            self.jumbo = None;
            let page = FilledPage { length: sealed.length as u32, rows: sealed.rows as u32 };
            return Ok(Made(Handed { status: FILLED, page }));
        }
        // Nothing came, or a row was too large for the room that the layout leaves to strings or to
        // the elements of a list.
        if let Some(shortage) = sealed.shortage
            && (jumbo || !self.sizing.make_room_of(shortage))
        {
            let sizing = self.jumbo.get_or_insert_with(|| self.sizing.clone());
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
