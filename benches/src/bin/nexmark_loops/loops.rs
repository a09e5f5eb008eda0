//! The queries by hand: each gives the number of its rows. Events come in the order of time, and of an event
//! other than those that a loop wants there is nothing but its kind.

use std::hint::black_box;

use hashbrown::{HashMap, HashSet};
use millstream::data::page::ValidPage;

use crate::pages::Pages;

/// Name, the least ratio that is asked for, the columns that are read, and the loop.
pub(crate) type Query = (&'static str, f64, &'static str, fn(Pages) -> u64);

pub(crate) const QUERIES: [Query; 8] = [
    ("q0", 0.5, "bid: auction bidder price date_time extra", q0),
    ("q1", 0.5, "bid: auction bidder price date_time extra", q1),
    ("q2", 0.5, "bid: auction price", q2),
    ("q22", 0.5, "bid: auction bidder price channel url", q22),
    ("q5", 0.3, "bid: auction date_time", q5),
    ("q7", 0.3, "bid: auction bidder price date_time extra", q7),
    ("q8", 0.3, "person: id name date_time, auction: seller date_time", q8),
    ("q11", 0.3, "bid: bidder date_time", q11),
];

const PERSON: i32 = 0;
const AUCTION: i32 = 1;
const BID: i32 = 2;
/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
const WINDOW: i64 = 10 * SECOND;

/// The rows of a page that are events of this kind.
fn rows<'a>(page: &ValidPage<'a>, kind: i32) -> impl Iterator<Item = usize> + use<'a> {
    let kinds = &page.column(0).fixed::<i32>()[..page.rows()];
    kinds.iter().enumerate().filter(move |(_, other)| **other == kind).map(|(row, _)| row)
}

/// A column of numbers or times: 2 is the first field of the first row of fields.
fn numbers<'a>(page: &ValidPage<'a>, column: usize) -> &'a [i64] {
    page.column(column).fixed()
}

/// What is read of a text.
fn text(text: &str) -> i64 {
    text.len() as i64 + text.as_bytes().first().map_or(0, |first| i64::from(*first))
}

fn q0(pages: Pages) -> u64 {
    let (mut count, mut sum) = (0, 0i64);
    pages.each(|page| {
        let [auction, bidder, price, time] = [2, 3, 4, 5].map(|column| numbers(page, column));
        let extra = page.column(6).strings();
        for row in rows(page, BID) {
            let row_sum = auction[row] ^ bidder[row] ^ price[row] ^ time[row];
            sum = sum.wrapping_add(row_sum ^ text(extra.at(row)));
            count += 1;
        }
    });
    black_box(sum);
    count
}

fn q1(pages: Pages) -> u64 {
    let (mut count, mut sum) = (0, 0i128);
    pages.each(|page| {
        let [auction, bidder, price, time] = [2, 3, 4, 5].map(|column| numbers(page, column));
        let extra = page.column(6).strings();
        for row in rows(page, BID) {
            // Thousandths, of which the price and the rate have just as many digits together.
            let euros = i128::from(price[row]) * 908;
            let row_sum = auction[row] ^ bidder[row] ^ time[row] ^ text(extra.at(row));
            sum = sum.wrapping_add(euros ^ i128::from(row_sum));
            count += 1;
        }
    });
    black_box(sum);
    count
}

fn q2(pages: Pages) -> u64 {
    let (mut count, mut sum) = (0, 0i64);
    pages.each(|page| {
        let [auction, price] = [2, 3].map(|column| numbers(page, column));
        for row in rows(page, BID).filter(|row| auction[*row] % 123 == 0) {
            sum = sum.wrapping_add(auction[row] ^ price[row]);
            count += 1;
        }
    });
    black_box(sum);
    count
}

fn q22(pages: Pages) -> u64 {
    let (mut count, mut sum) = (0, 0i64);
    pages.each(|page| {
        let [auction, bidder, price] = [2, 3, 4].map(|column| numbers(page, column));
        let (channel, url) = (page.column(5).strings(), page.column(6).strings());
        for row in rows(page, BID) {
            let directories = url.at(row).split('/').skip(3).take(3).map(text).sum::<i64>();
            let row_sum = auction[row] ^ bidder[row] ^ price[row] ^ text(channel.at(row));
            sum = sum.wrapping_add(row_sum ^ directories);
            count += 1;
        }
    });
    black_box(sum);
    count
}

/// Counts of each slice of 2 seconds, of which a window has five.
fn q5(pages: Pages) -> u64 {
    const SLICE: i64 = 2 * SECOND;
    let mut slices: Vec<(i64, HashMap<i64, u64>)> = Vec::new();
    let mut whole: HashMap<i64, u64> = HashMap::new();
    let mut count = 0;
    // The hottest auctions of the window that ends with a slice.
    let mut close = |slices: &[(i64, HashMap<i64, u64>)], end: i64| {
        whole.clear();
        for (_, counts) in slices.iter().filter(|(slice, _)| (end - WINDOW..end).contains(slice)) {
            counts.iter().for_each(|(auction, count)| *whole.entry(*auction).or_default() += count);
        }
        let most = whole.values().copied().max();
        count += whole.values().filter(|count| Some(**count) == most).count() as u64;
    };
    pages.each(|page| {
        let [auction, time] = [2, 3].map(|column| numbers(page, column));
        for row in rows(page, BID) {
            let slice = time[row] - time[row].rem_euclid(SLICE);
            let last = slices.last().map(|(last, _)| *last);
            if last != Some(slice) {
                for end in last.into_iter().flat_map(|last| ends(last, slice, SLICE)) {
                    close(&slices, end);
                }
                slices.retain(|(other, _)| *other > slice - WINDOW);
                slices.push((slice, HashMap::new()));
            }
            if let Some((_, counts)) = slices.last_mut() {
                *counts.entry(auction[row]).or_default() += 1;
            }
        }
    });
    let last = slices.last().map(|(last, _)| *last);
    for end in last.into_iter().flat_map(|last| ends(last, last + WINDOW, SLICE)) {
        close(&slices, end);
    }
    count
}

/// The ends of windows that have the slice `last` and end at `until`, or before, but not within `last`.
fn ends(last: i64, until: i64, slice: i64) -> impl Iterator<Item = i64> {
    let until = until.min(last + WINDOW);
    (1..).map(move |n| last + n * slice).take_while(move |end| *end <= until)
}

/// A window, with its bids of the highest price so far.
struct Highest {
    start: i64,
    price: i64,
    bids: Vec<[i64; 4]>,
    /// All bids of the very moment when it begins: as the query is written, they also belong to the window that
    /// ends then.
    first: Vec<[i64; 4]>,
}

fn q7(pages: Pages) -> u64 {
    let mut windows: Vec<Highest> = Vec::new();
    let (mut count, mut sum) = (0, 0i64);
    let mut close = |window: Highest, next: Option<&Highest>| {
        let next = next.filter(|next| next.start == window.start + WINDOW);
        let first = next.into_iter().flat_map(|next| &next.first);
        for bid in window.bids.iter().chain(first.filter(|bid| bid[2] == window.price)) {
            sum = bid.iter().fold(sum, |sum, cell| sum ^ cell);
            count += 1;
        }
    };
    pages.each(|page| {
        let [auction, bidder, price, time] = [2, 3, 4, 5].map(|column| numbers(page, column));
        let extra = page.column(6).strings();
        for row in rows(page, BID) {
            let start = time[row] - time[row].rem_euclid(WINDOW);
            if windows.last().is_none_or(|window| window.start != start) {
                windows.push(Highest { start, price: 0, bids: Vec::new(), first: Vec::new() });
            }
            if windows.len() > 1 && time[row] > start {
                close(windows.remove(0), windows.first());
            }
            let Some(window) = windows.last_mut() else { continue };
            if price[row] < window.price && time[row] > start {
                continue;
            }
            let bid = [auction[row], bidder[row], price[row], time[row] ^ text(extra.at(row))];
            if time[row] == start {
                window.first.push(bid);
            }
            if price[row] > window.price {
                window.price = price[row];
                window.bids.clear();
            }
            if price[row] == window.price {
                window.bids.push(bid);
            }
        }
    });
    while !windows.is_empty() {
        close(windows.remove(0), windows.first());
    }
    black_box(sum);
    count
}

fn q8(pages: Pages) -> u64 {
    let mut window = i64::MIN;
    let mut persons: HashMap<i64, String> = HashMap::new();
    let mut sellers: HashSet<i64> = HashSet::new();
    let (mut count, mut sum) = (0, 0i64);
    let mut close = |persons: &mut HashMap<i64, String>, sellers: &mut HashSet<i64>| {
        for (id, name) in persons.drain().filter(|(id, _)| sellers.contains(id)) {
            sum = sum.wrapping_add(id ^ text(&name));
            count += 1;
        }
        sellers.clear();
    };
    pages.each(|page| {
        let (id, name, opened) = (numbers(page, 2), page.column(3).strings(), numbers(page, 4));
        let (seller, listed) = (numbers(page, 6), numbers(page, 7));
        let kinds = page.column(0).fixed::<i32>();
        for row in 0..page.rows() {
            let time = match kinds[row] {
                PERSON => opened[row],
                AUCTION => listed[row],
                _ => continue,
            };
            let start = time - time.rem_euclid(WINDOW);
            if start != window {
                close(&mut persons, &mut sellers);
                window = start;
            }
            match kinds[row] {
                PERSON => drop(persons.insert(id[row], name.at(row).to_owned())),
                _ => drop(sellers.insert(seller[row])),
            }
        }
    });
    close(&mut persons, &mut sellers);
    black_box(sum);
    count
}

/// Bids of a bidder who never waited for ten seconds.
struct Session {
    bids: u64,
    start: i64,
    last: i64,
}

fn q11(pages: Pages) -> u64 {
    let mut sessions: HashMap<i64, Session> = HashMap::new();
    let (mut count, mut sum) = (0, 0i64);
    pages.each(|page| {
        let [bidder, time] = [2, 3].map(|column| numbers(page, column));
        for row in rows(page, BID) {
            // Event time has milliseconds.
            let time = time[row].div_euclid(1000) * 1000;
            let session =
                sessions.entry(bidder[row]).or_insert(Session { bids: 0, start: time, last: time });
            if time > session.last + WINDOW {
                sum ^= bidder[row] ^ session.start ^ session.last ^ session.bids as i64;
                count += 1;
                *session = Session { bids: 0, start: time, last: time };
            }
            session.bids += 1;
            session.last = time;
        }
    });
    for (bidder, session) in &sessions {
        sum ^= bidder ^ session.start ^ session.last ^ session.bids as i64;
        count += 1;
    }
    black_box(sum);
    count
}
