//! A job's result as a table that changes before the eyes of people.

use std::{
    fmt,
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use millstream_data::{page::ValidPage, types::Schema};
use millstream_dataflow::TaskError;

use super::{Changelog, ResultSink, Table, last::Rows, print};

/// From one picture of the table to the next.
const PERIOD: Duration = Duration::from_millis(200);
/// Goes to the beginning of a line so many above, and removes all that is below.
const UP: [&str; 2] = ["\u{1b}[", "A\r\u{1b}[J"];

/// Shows the rows that are there, as [`Table`] does, and again whenever they have changed: for results without
/// an end, on a terminal. Of many rows the first ones are shown, as many as fit. When the result is complete
/// all rows are printed.
///
/// A result that only grows is shown as [`Changelog`] does: its rows need not be kept.
pub struct Live<W> {
    picture: Arc<Picture<W>>,
    painter: Option<JoinHandle<()>>,
    /// For rows without kinds.
    growing: Option<Changelog<Output<W>>>,
}

struct Picture<W> {
    state: Mutex<State<W>>,
    changed: Condvar,
}

struct State<W> {
    out: W,
    /// How many lines the terminal has, now.
    height: Box<dyn Fn() -> usize + Send>,
    schema: Schema,
    rows: Option<Rows>,
    /// There is something that is not shown yet.
    dirty: bool,
    /// Lines that are shown.
    lines: usize,
    is_over: bool,
    failed: Option<TaskError>,
}

impl<W: Write + Send + 'static> Live<W> {
    /// Shows tables on `out`, a terminal that has as many lines as `height` says.
    pub fn new(out: W, height: impl Fn() -> usize + Send + 'static) -> Self {
        let state = State {
            out,
            height: Box::new(height),
            schema: Schema::default(),
            rows: None,
            dirty: false,
            lines: 0,
            is_over: false,
            failed: None,
        };
        let picture = Arc::new(Picture { state: Mutex::new(state), changed: Condvar::new() });
        Self { picture, painter: None, growing: None }
    }

    /// Paints until all is over, or painting fails.
    fn paint(picture: &Picture<W>) {
        let mut state = picture.lock();
        loop {
            while !state.dirty && !state.is_over {
                state = picture.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.is_over {
                return;
            }
            state.dirty = false;
            let room = (state.height)().saturating_sub(1);
            if let Err(error) = state.show(room) {
                state.failed = Some(error);
                return;
            }
            let waited = picture.changed.wait_timeout_while(state, PERIOD, |state| !state.is_over);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends painting, if it goes on.
    fn stop(&mut self) {
        self.picture.lock().is_over = true;
        self.picture.changed.notify_all();
        if let Some(painter) = self.painter.take() {
            // It has nothing to say if it panicked, but on standard error.
            let _ = painter.join();
        }
    }
}

impl<W> Picture<W> {
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write> State<W> {
    /// Shows the table in place of what was shown, in so many lines.
    fn show(&mut self, room: usize) -> Result<(), TaskError> {
        let mut table = Table::new(Vec::new());
        table.open(&self.schema)?;
        let Some(rows) = &self.rows else { return Ok(()) };
        // The frame, the names and the number of rows have lines of their own.
        let left = rows.each_of_first(room.saturating_sub(5), |page| table.write(page))?;
        let text = table.text(left)?;
        let lines = text.iter().filter(|byte| **byte == b'\n').count();
        let mut picture = Vec::new();
        if self.lines > 0 {
            let [before, behind] = UP;
            picture.extend_from_slice(format!("{before}{}{behind}", self.lines).as_bytes());
        }
        picture.extend_from_slice(&text);
        self.lines = lines;
        print(&mut self.out, &picture)
    }
}

impl<W: Write + Send + 'static> ResultSink for Live<W> {
    fn open(&mut self, schema: &Schema) -> Result<(), TaskError> {
        if !schema.row_kinds {
            let mut growing = Changelog::new(Output(Arc::clone(&self.picture)));
            growing.open(schema)?;
            self.growing = Some(growing);
            return Ok(());
        }
        let mut state = self.picture.lock();
        state.schema = Schema::new(schema.fields.clone());
        state.rows = Some(Rows::new(&state.schema));
        drop(state);
        if self.painter.is_none() {
            let picture = Arc::clone(&self.picture);
            self.painter = Some(thread::spawn(move || Self::paint(&picture)));
        }
        Ok(())
    }

    fn takes_changes(&self) -> bool {
        true
    }

    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), TaskError> {
        if let Some(growing) = &mut self.growing {
            return growing.write(page);
        }
        let mut state = self.picture.lock();
        if let Some(failed) = state.failed.take() {
            return Err(failed);
        }
        if let Some(rows) = &mut state.rows {
            rows.change(page)?;
        }
        state.dirty = true;
        drop(state);
        self.picture.changed.notify_all();
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        self.stop();
        if self.growing.is_some() {
            return Ok(());
        }
        self.picture.lock().show(usize::MAX)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, TaskError> {
        Ok(self.picture.lock().rows.as_ref().map(Rows::encode).unwrap_or_default())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), TaskError> {
        if let Some(growing) = &mut self.growing {
            return growing.restore(state);
        }
        let mut picture = self.picture.lock();
        picture.dirty = true;
        match &mut picture.rows {
            Some(rows) => rows.decode(state),
            None => Ok(()),
        }
    }
}

impl<W> Drop for Live<W> {
    fn drop(&mut self) {
        self.picture.lock().is_over = true;
        self.picture.changed.notify_all();
    }
}

impl<W> fmt::Debug for Live<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

/// Where the picture is shown.
struct Output<W>(Arc<Picture<W>>);

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().out.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().out.flush()
    }
}

#[cfg(test)]
mod tests {
    use millstream_data::{
        Record,
        page::{Layout, RowBuilder, RowKind, Shape},
        row::{RowLayout, scatter},
    };

    use super::*;
    use crate::result::last::Segment;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Screen {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    fn live(screen: &Screen) -> Live<Screen> {
        let mut live = Live::new(screen.clone(), || 24);
        live.open(&u64::schema().with_row_kinds()).unwrap();
        live
    }

    fn change(live: &mut Live<Screen>, changes: &[(RowKind, u64)]) {
        let schema = u64::schema().with_row_kinds();
        let (shape, layout) = (Arc::new(Shape::new(&schema)), RowLayout::new(&schema));
        let fitted = Arc::new(Layout::fitted(&shape, 4096, 0).unwrap());
        let mut page = RowBuilder::new(Segment::new(4096), &shape, &fitted);
        for (kind, number) in changes {
            let mut bytes = Vec::new();
            layout.encode::<u64>(*number, &mut bytes);
            page.put_kind(*kind);
            scatter(&layout.trusted(&bytes).unwrap(), &mut page).unwrap();
        }
        live.write(&ValidPage::trusted(&page.seal(false).buffer).unwrap()).unwrap();
    }

    fn table(rows: &str, count: &str) -> String {
        format!("+-------+\n| value |\n+-------+\n{rows}+-------+\n{count}\n")
    }

    #[test]
    fn the_table_is_painted_over_the_one_before() {
        let screen = Screen::default();
        // Painted by the test alone.
        let mut live = live(&screen);
        live.stop();
        change(&mut live, &[(RowKind::Insert, 7), (RowKind::Insert, 8), (RowKind::Insert, 9)]);
        let show = |live: &Live<Screen>, room| live.picture.lock().show(room).unwrap();
        show(&live, 7);
        let first = table("|     7 |\n|     8 |\n", "3 rows in set, the first 2 are shown");
        assert_eq!(screen.take(), first);
        change(&mut live, &[(RowKind::UpdateBefore, 7), (RowKind::UpdateAfter, 6)]);
        change(&mut live, &[(RowKind::Delete, 8)]);
        show(&live, 24);
        let second = table("|     9 |\n|     6 |\n", "2 rows in set");
        assert_eq!(screen.take(), format!("\u{1b}[7A\r\u{1b}[J{second}"));
        // What comes after a restart is what was there.
        let kept = live.snapshot().unwrap();
        let mut again = self::live(&screen);
        again.restore(&kept).unwrap();
        again.finish().unwrap();
        assert!(screen.take().ends_with(&second));
    }

    #[test]
    fn changes_are_painted_before_the_end() {
        let screen = Screen::default();
        let mut live = live(&screen);
        change(&mut live, &[(RowKind::Insert, 1)]);
        let painted = table("|     1 |\n", "1 row in set");
        while screen.0.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        assert_eq!(screen.take(), painted);
    }
}
