//! Functions of a page's rows that keep nothing.

use alloc::sync::Arc;
use core::fmt;

use millstream_data::{page::ValidPage, row::RowLayout};

use super::Changes;
use crate::{
    chain::{Chain, Context, Signal, TaskError},
    writer::run::RunWriter,
};

/// What is done with the rows of each page: nothing is kept from one to the next.
pub trait PageFunction: Send + 'static {
    /// How the two parts of a row that it emits lie in their bytes. The second may be of no columns.
    fn parts(&self) -> [Arc<RowLayout>; 2];

    /// Takes rows of a page from `start` on, at least one; gives the row to go on with.
    ///
    /// # Errors
    /// The function's own. The task fails with it.
    fn take(
        &mut self,
        page: &ValidPage<'_>,
        start: usize,
        out: &mut Changes,
    ) -> Result<usize, TaskError>;
}

/// The chain of a function.
pub struct PageFunctionChain<F> {
    function: F,
    /// What was emitted, and how much of it is written.
    out: Changes,
    written: usize,
    writer: RunWriter,
}

impl<F: PageFunction> PageFunctionChain<F> {
    /// The chain of `function`.
    pub fn new(function: F, writer: RunWriter) -> Self {
        let out = Changes::new(function.parts());
        Self { function, out, written: 0, writer }
    }

    /// Writes what was emitted; `false` if the context is blocked before all of it is.
    fn write(&mut self, context: &mut Context<'_>) -> bool {
        self.out.write(&mut self.written, &mut self.writer, context)
    }
}

impl<F: PageFunction> Chain for PageFunctionChain<F> {
    fn process(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        let mut row = start;
        while self.write(context) && !context.is_blocked() && row < page.rows() {
            match self.function.take(page, row, &mut self.out) {
                Ok(next) => row = next,
                Err(error) => context.fail(error),
            }
        }
        row
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        self.write(context) && !context.is_blocked()
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        let written = self.write(context);
        if written {
            self.writer.signal(signal, context);
        }
        written
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.writer.flush(force, context);
    }
}

impl<F> fmt::Debug for PageFunctionChain<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageFunctionChain({} changes wait)", self.out.len() - self.written)
    }
}
