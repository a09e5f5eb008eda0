//! Managed memory: pages for sorting, hashing and state, booked by owner.
//!
//! Unlike network segments, which flow, managed memory is *held*: a sorter takes its pages when it
//! starts and gives them back when it ends. So the books matter more than speed: every page and
//! every reserved byte has an owner with a name, a refusal says who holds what, and a shutdown
//! that finds something left names the leak.

mod error;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub use error::{Holding, LeakReport, ManagedError};

use crate::ledger::{Ledger, Terms};
use crate::pool::Shared;
use crate::segment::{Arena, Segment};
use crate::sync::{Arc, SpinLock};

/// All managed memory of a process. Clones are the same memory.
///
/// Pages are segments of the arena. *Reservations* are bytes out of the same budget without
/// memory behind them, for owners that allocate by themselves (a native library): the arena then
/// hands out that much less, and since arenas occupy memory only where it was touched, the machine
/// really has it to spare.
///
/// Control path only: every call takes a lock for a moment. Dropping a page does not.
#[derive(Clone)]
pub struct ManagedMemory(Arc<Managed>);

/// Who holds managed memory; see [`ManagedMemory::open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(u64);

struct Managed {
    shared: Arc<Shared>,
    book: SpinLock<Book>,
}

#[derive(Default)]
struct Book {
    accounts: Vec<Account>,
    owner_next: u64,
    shut_down: bool,
}

struct Account {
    /// Charged with the pages; its id is the owner's number.
    ledger: Arc<Ledger>,
    reserved: u64,
}

impl ManagedMemory {
    /// Manages all of `arena`.
    ///
    /// # Panics
    ///
    /// When the arena breaks its contract in a way that its numbers show.
    pub fn new(arena: Box<dyn Arena>) -> Self {
        let shared = Arc::new(Shared::new(arena));
        Self(Arc::new(Managed { shared, book: SpinLock::new(Book::default()) }))
    }

    /// Opens an account under `name`: an operator and its subtask, usually.
    ///
    /// # Errors
    ///
    /// [`ManagedError::ShutDown`] after [`shut_down`](Self::shut_down).
    pub fn open(&self, name: &str) -> Result<Owner, ManagedError> {
        let pages = self.pages() as u32;
        self.with_book(|book| {
            let id = book.owner_next;
            book.owner_next += 1;
            let terms = Terms { id, name: name.into(), overdraft: 0, shrinks: false };
            let ledger = Arc::new(Ledger::new(self.0.shared.clone(), terms, pages));
            book.accounts.push(Account { ledger, reserved: 0 });
            Ok(Owner(id))
        })
    }

    /// Takes `n` pages for `owner`: all of them, or none.
    ///
    /// The pages come back by being dropped, wherever and in any order.
    ///
    /// # Errors
    ///
    /// [`ManagedError::NotEnough`] with who holds what; [`ManagedError::UnknownOwner`];
    /// [`ManagedError::ShutDown`].
    pub fn allocate_pages(&self, owner: Owner, n: usize) -> Result<Vec<Segment>, ManagedError> {
        let mut pages = Vec::new();
        self.allocate_pages_into(owner, n, &mut pages)?;
        Ok(pages)
    }

    /// As [`allocate_pages`](Self::allocate_pages), appending to `pages`.
    ///
    /// # Errors
    ///
    /// As there; `pages` is unchanged then.
    pub fn allocate_pages_into(
        &self,
        owner: Owner,
        n: usize,
        pages: &mut Vec<Segment>,
    ) -> Result<(), ManagedError> {
        let page_size = self.page_size() as u64;
        let wanted = (n as u64).saturating_mul(page_size);
        self.with_book(|book| {
            self.check_free(book, owner, wanted)?;
            pages.reserve(n);
            let ledger = &book.account(owner)?.ledger;
            for _ in 0..n {
                // Pages only leave under this lock, and are free before their charge ends.
                let page = Ledger::lease(ledger).expect("a page that nobody is charged with");
                pages.push(page);
            }
            Ok(())
        })
    }

    /// Gives pages of `owner` back, checking that they are its own.
    ///
    /// Dropping them does the same without the check.
    ///
    /// # Errors
    ///
    /// [`ManagedError::ForeignPage`] when one was charged to somebody else; all pages are returned
    /// to whom they belong even then.
    pub fn release(
        &self,
        owner: Owner,
        pages: impl IntoIterator<Item = Segment>,
    ) -> Result<(), ManagedError> {
        let ledger = self.with_account(owner, |account| Ok(account.ledger.clone()))?;
        let mut foreign = 0;
        for page in pages {
            if !page.ledger().is_some_and(|charged| Arc::ptr_eq(charged, &ledger)) {
                foreign += 1;
            }
        }
        if foreign > 0 {
            let owner = String::from(&*ledger.terms.name);
            return Err(ManagedError::ForeignPage { owner, foreign });
        }
        Ok(())
    }

    /// Reserves `bytes` for memory that `owner` allocates by itself.
    ///
    /// # Errors
    ///
    /// As [`allocate_pages`](Self::allocate_pages).
    pub fn reserve(&self, owner: Owner, bytes: u64) -> Result<(), ManagedError> {
        self.with_book(|book| {
            self.check_free(book, owner, bytes)?;
            book.account(owner)?.reserved += bytes;
            Ok(())
        })
    }

    /// Ends the reservation of `bytes` by `owner`.
    ///
    /// # Errors
    ///
    /// [`ManagedError::NotReserved`] when the owner has reserved less; nothing changes then.
    pub fn release_reservation(&self, owner: Owner, bytes: u64) -> Result<(), ManagedError> {
        self.with_account(owner, |account| {
            let reserved = account.reserved;
            match reserved.checked_sub(bytes) {
                Some(left) => {
                    account.reserved = left;
                    Ok(())
                }
                None => Err(ManagedError::NotReserved {
                    owner: String::from(&*account.ledger.terms.name),
                    released: bytes,
                    reserved,
                }),
            }
        })
    }

    /// Ends all reservations of `owner` and says what it still holds: its pages, which come back
    /// only when whoever has them drops them.
    ///
    /// An owner that holds nothing any more is forgotten; calling this again is an error.
    ///
    /// # Errors
    ///
    /// [`ManagedError::UnknownOwner`].
    pub fn release_all(&self, owner: Owner) -> Result<Holding, ManagedError> {
        let holding = self.with_account(owner, |account| {
            account.reserved = 0;
            Ok(account.holding())
        })?;
        if holding.pages == 0 {
            self.0.book.with(|book| book.accounts.retain(|a| a.ledger.terms.id != owner.0));
        }
        Ok(holding)
    }

    /// Refuses everything from now on and reports what is still held.
    ///
    /// # Errors
    ///
    /// [`LeakReport`] when somebody holds pages or reservations.
    pub fn shut_down(&self) -> Result<(), LeakReport> {
        self.0.book.with(|book| book.shut_down = true);
        self.verify_empty()
    }

    /// Whether everything has come back.
    ///
    /// # Errors
    ///
    /// [`LeakReport`] with the owners that still hold something.
    pub fn verify_empty(&self) -> Result<(), LeakReport> {
        let page_size = self.page_size();
        let leaks = self.holdings();
        if leaks.is_empty() { Ok(()) } else { Err(LeakReport { page_size, leaks }) }
    }

    /// Who holds what now, in order of opening; owners that hold nothing are left out.
    pub fn holdings(&self) -> Vec<Holding> {
        self.0.book.with(|book| book.holdings())
    }

    /// The size of a page in bytes.
    pub fn page_size(&self) -> usize {
        self.0.shared.store.segment_size()
    }

    /// The number of pages in the arena.
    pub fn pages(&self) -> usize {
        self.0.shared.store.total()
    }

    /// All bytes, held or free.
    pub fn total(&self) -> u64 {
        self.pages() as u64 * self.page_size() as u64
    }

    /// The bytes that nobody holds or has reserved.
    pub fn free(&self) -> u64 {
        self.0.book.with(|book| self.free_in(book))
    }

    fn free_in(&self, book: &Book) -> u64 {
        let page_size = self.page_size() as u64;
        let held: u64 =
            book.accounts.iter().map(|a| a.reserved + u64::from(a.ledger.used()) * page_size).sum();
        self.total() - held
    }

    fn check_free(&self, book: &mut Book, owner: Owner, wanted: u64) -> Result<(), ManagedError> {
        let name = String::from(&*book.account(owner)?.ledger.terms.name);
        let free = self.free_in(book);
        if wanted <= free {
            return Ok(());
        }
        Err(ManagedError::NotEnough {
            owner: name,
            wanted,
            free,
            total: self.total(),
            page_size: self.page_size(),
            holders: book.holdings(),
        })
    }

    fn with_book<R>(
        &self,
        f: impl FnOnce(&mut Book) -> Result<R, ManagedError>,
    ) -> Result<R, ManagedError> {
        let open = |book: &mut Book| {
            if book.shut_down { Err(ManagedError::ShutDown) } else { f(book) }
        };
        self.0.book.with(open)
    }

    /// For giving back, which stays possible after a shutdown.
    fn with_account<R>(
        &self,
        owner: Owner,
        f: impl FnOnce(&mut Account) -> Result<R, ManagedError>,
    ) -> Result<R, ManagedError> {
        self.0.book.with(|book| f(book.account(owner)?))
    }
}

impl Book {
    fn account(&mut self, owner: Owner) -> Result<&mut Account, ManagedError> {
        self.accounts
            .iter_mut()
            .find(|account| account.ledger.terms.id == owner.0)
            .ok_or(ManagedError::UnknownOwner { id: owner.0 })
    }

    fn holdings(&self) -> Vec<Holding> {
        let holdings = self.accounts.iter().map(Account::holding);
        holdings.filter(|holding| holding.pages > 0 || holding.reserved > 0).collect()
    }
}

impl Account {
    fn holding(&self) -> Holding {
        Holding {
            owner: String::from(&*self.ledger.terms.name),
            pages: self.ledger.used(),
            reserved: self.reserved,
        }
    }
}

impl fmt::Debug for ManagedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedMemory")
            .field("total", &self.total())
            .field("free", &self.free())
            .field("page_size", &self.page_size())
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
