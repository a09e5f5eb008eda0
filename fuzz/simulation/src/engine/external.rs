//! The system that the sink writes to: it keeps transactions, whatever happens to the engine.

use millstream_checkpoint::Permit;
use millstream_dataflow::TaskError;

use super::rows::{Row, Rows};

/// Transactions, and what they have shown.
#[derive(Debug, Default)]
pub(super) struct External {
    transactions: Vec<Transaction>,
    shown: Rows,
    /// The newest checkpoint because of which something was shown.
    newest_permit: u64,
}

#[derive(Debug)]
struct Transaction {
    /// With whether each comes or is taken back.
    rows: Vec<(Row, i64)>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Prepared,
    Committed,
    Aborted,
}

impl External {
    /// Begins a transaction.
    pub(super) fn begin(&mut self) -> u64 {
        self.transactions.push(Transaction { rows: Vec::new(), state: State::Open });
        self.transactions.len() as u64 - 1
    }

    /// Writes into a transaction, hidden.
    pub(super) fn write(&mut self, number: u64, row: (Row, i64)) -> Result<(), TaskError> {
        let transaction = self.find(number)?;
        if transaction.state != State::Open {
            return Err(wrong(number, "is written to", transaction.state));
        }
        transaction.rows.push(row);
        Ok(())
    }

    /// Rows in a transaction.
    pub(super) fn rows(&self, number: u64) -> usize {
        self.transactions.get(number as usize).map_or(0, |transaction| transaction.rows.len())
    }

    /// Makes all that was written durable.
    pub(super) fn prepare(&mut self, number: u64) -> Result<(), TaskError> {
        let transaction = self.find(number)?;
        if transaction.state != State::Open {
            return Err(wrong(number, "is prepared", transaction.state));
        }
        transaction.state = State::Prepared;
        Ok(())
    }

    /// Shows what was prepared. To do so twice does no harm.
    pub(super) fn commit(&mut self, number: u64, permit: Permit) -> Result<(), TaskError> {
        self.newest_permit = self.newest_permit.max(permit.checkpoint());
        self.show(number)
    }

    /// As [`commit`](Self::commit), without the right to: only a planted bug does that.
    pub(super) fn show(&mut self, number: u64) -> Result<(), TaskError> {
        let transaction = self.find(number)?;
        match transaction.state {
            State::Committed => return Ok(()),
            State::Prepared => transaction.state = State::Committed,
            state => return Err(wrong(number, "is committed", state)),
        }
        for (row, times) in transaction.rows.clone() {
            self.shown.add(row, times);
        }
        Ok(())
    }

    /// Drops what was written.
    pub(super) fn abort(&mut self, number: u64) -> Result<(), TaskError> {
        let transaction = self.find(number)?;
        if transaction.state == State::Committed {
            return Err(wrong(number, "is aborted", transaction.state));
        }
        transaction.state = State::Aborted;
        Ok(())
    }

    /// The newest checkpoint because of which something was shown; 0 if nothing was.
    pub(super) fn newest_permit(&self) -> u64 {
        self.newest_permit
    }

    /// All that was shown, with how often.
    pub(super) fn shown(&self) -> &Rows {
        &self.shown
    }

    fn find(&mut self, number: u64) -> Result<&mut Transaction, TaskError> {
        let found = self.transactions.get_mut(number as usize);
        found.ok_or_else(|| TaskError::new(format!("there is no transaction {number}")))
    }
}

fn wrong(number: u64, what: &str, state: State) -> TaskError {
    TaskError::new(format!("{BROKEN}: transaction {number} {what}, and is {state:?} already"))
}

/// How an error begins that no fault explains.
pub(super) const BROKEN: &str = "the promise of exactly once is broken";
