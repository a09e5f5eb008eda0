//! The events.

use std::{f64::consts::LOG2_10, fmt::Write};

use millstream_sdk::generated::Random;

use crate::text::{Channel, Texts};

/// The first id of persons and of auctions.
const FIRST_ID: u64 = 1000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
/// Of so many events one is a person, the next three are auctions, and the others bids.
const EPOCH_EVENTS: u64 = 50;
const EPOCH_AUCTIONS: u64 = 3;
/// Auctions before the newest that bids may be for.
const IN_FLIGHT_AUCTIONS: u64 = 100;
/// Persons before the newest that sell and bid.
const ACTIVE_PERSONS: u64 = 1000;
/// Ids beyond the newest that may be referred to.
const ID_LEAD: u64 = 10;
/// The hot auction and seller are the first of the last so many, the hot bidder is the second.
const HOT_GROUP: u64 = 100;
/// Of so many, all but one are hot.
const HOT_AUCTION_RATIO: u64 = 2;
const HOT_SELLER_RATIO: u64 = 4;
const HOT_BIDDER_RATIO: u64 = 4;

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const FIRST_NAMES: [&str; 11] = [
    "Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter",
];
const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];

/// What the events depend on.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Another number gives other events.
    pub seed: u64,
    /// When the first event happens, in microseconds since 1970.
    pub base_micros: i64,
    /// The least time between two events, in microseconds.
    pub gap_micros_min: u64,
    /// The greatest time between two events, in microseconds.
    pub gap_micros_max: u64,
}

/// Makes events from their numbers.
#[derive(Debug)]
pub struct Generator {
    config: Config,
    texts: Texts,
}

/// An event; its texts live until the next is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the columns")]
pub enum Event<'a> {
    /// Somebody registers.
    Person {
        id: i64,
        name: &'a str,
        email_address: &'a str,
        credit_card: &'a str,
        city: &'a str,
        state: &'a str,
        date_time: i64,
        extra: &'a str,
    },
    /// An auction opens.
    Auction {
        id: i64,
        item_name: &'a str,
        description: &'a str,
        initial_bid: i64,
        reserve: i64,
        date_time: i64,
        expires: i64,
        seller: i64,
        category: i64,
        extra: &'a str,
    },
    /// Somebody bids.
    Bid {
        auction: i64,
        bidder: i64,
        price: i64,
        channel: &'a Channel,
        date_time: i64,
        extra: &'a str,
    },
}

/// Memory for the texts of an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    name: String,
    email: String,
    card: String,
}

impl Generator {
    /// A generator of these events.
    pub fn new(config: Config) -> Self {
        Self { config, texts: Texts::new(config.seed) }
    }

    /// When an event happens, in microseconds since 1970.
    pub fn date_time(&self, number: u64) -> i64 {
        let Config { seed, base_micros, gap_micros_min: min, gap_micros_max: max } = self.config;
        // Gaps are between min and max if each event is at the middle one's multiple, and off it by
        // up to half of their difference.
        let offset = Random::new(seed ^ TIME, number).below((max - min) / 2 + 1);
        let micros = u128::from(number) * u128::from(min + max) / 2 + u128::from(offset);
        base_micros.saturating_add(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// The event with this number.
    pub(crate) fn event<'a>(&'a self, number: u64, scratch: &'a mut Scratch) -> Event<'a> {
        let random = Random::new(self.config.seed, number);
        let epoch = number / EPOCH_EVENTS;
        match number % EPOCH_EVENTS {
            0 => self.person(number, epoch, random, scratch),
            offset @ 1..=EPOCH_AUCTIONS => {
                self.auction(number, epoch, epoch * EPOCH_AUCTIONS + offset - 1, random)
            }
            _ => self.bid(number, epoch, random),
        }
    }

    fn person<'a>(
        &'a self,
        number: u64,
        person: u64,
        mut random: Random,
        scratch: &'a mut Scratch,
    ) -> Event<'a> {
        let Scratch { name, email, card } = scratch;
        for text in [&mut *name, &mut *email, &mut *card] {
            text.clear();
        }
        // Writing to a string does not fail.
        let _ =
            write!(name, "{} {}", one(&FIRST_NAMES, &mut random), one(&LAST_NAMES, &mut random));
        let (user, domain) = (self.texts.words(7, &mut random), self.texts.words(5, &mut random));
        let _ = write!(email, "{user}@{domain}.com");
        // Words are separated by spaces, addresses are not.
        if email.contains(' ') {
            *email = email.replace(' ', "_");
        }
        for group in 0..4 {
            let space = if group == 0 { "" } else { " " };
            let _ = write!(card, "{space}{:04}", random.below(10_000));
        }
        let (city, state) = (one(&CITIES, &mut random), one(&STATES, &mut random));
        let size = 8 + name.len() + email.len() + card.len() + city.len() + state.len();
        Event::Person {
            id: (FIRST_ID + person) as i64,
            name,
            email_address: email,
            credit_card: card,
            city,
            state,
            date_time: self.date_time(number),
            extra: self.texts.extra(size, 200, &mut random),
        }
    }

    fn auction(&self, number: u64, epoch: u64, auction: u64, mut random: Random) -> Event<'_> {
        let seller = match random.below(HOT_SELLER_RATIO) {
            0 => active_person(epoch, &mut random),
            _ => epoch / HOT_GROUP * HOT_GROUP,
        };
        let category = FIRST_CATEGORY + random.below(CATEGORIES);
        let initial_bid = price(&mut random);
        let reserve = initial_bid + price(&mut random);
        let date_time = self.date_time(number);
        // So long that about as many auctions as there should be are open at once.
        let gap = (self.config.gap_micros_min + self.config.gap_micros_max) / 2;
        let horizon = (IN_FLIGHT_AUCTIONS * EPOCH_EVENTS / EPOCH_AUCTIONS * gap / 1000).max(1);
        let open_micros = 1000 * (1 + random.below(2 * horizon)) as i64;
        let item_name = self.texts.words(20, &mut random);
        let description = self.texts.words(100, &mut random);
        let size = 48 + item_name.len() + description.len();
        Event::Auction {
            id: (FIRST_ID + auction) as i64,
            item_name,
            description,
            initial_bid,
            reserve,
            date_time,
            expires: date_time.saturating_add(open_micros),
            seller: (FIRST_ID + seller) as i64,
            category: category as i64,
            extra: self.texts.extra(size, 500, &mut random),
        }
    }

    fn bid(&self, number: u64, epoch: u64, mut random: Random) -> Event<'_> {
        let newest = epoch * EPOCH_AUCTIONS + EPOCH_AUCTIONS - 1;
        let auction = match random.below(HOT_AUCTION_RATIO) {
            0 => {
                let oldest = newest.saturating_sub(IN_FLIGHT_AUCTIONS);
                oldest + random.below(newest - oldest + 1 + ID_LEAD)
            }
            _ => newest / HOT_GROUP * HOT_GROUP,
        };
        let bidder = match random.below(HOT_BIDDER_RATIO) {
            0 => active_person(epoch, &mut random),
            _ => epoch / HOT_GROUP * HOT_GROUP + 1,
        };
        let price = price(&mut random);
        let channel = self.texts.channel(&mut random);
        Event::Bid {
            auction: (FIRST_ID + auction) as i64,
            bidder: (FIRST_ID + bidder) as i64,
            price,
            channel,
            date_time: self.date_time(number),
            extra: self.texts.extra(32, 100, &mut random),
        }
    }
}

/// Makes the random numbers of times others than those of the events.
const TIME: u64 = 0x7469_6d65;

fn one<'a>(all: &[&'a str], random: &mut Random) -> &'a str {
    all.get(random.below(all.len() as u64) as usize).copied().unwrap_or_default()
}

fn active_person(newest: u64, random: &mut Random) -> u64 {
    let known = newest + 1;
    let active = known.min(ACTIVE_PERSONS);
    known - active + random.below(active + ID_LEAD)
}

/// From one to a million, in cents; every order of magnitude is as likely.
fn price(random: &mut Random) -> i64 {
    // A power of two takes half as long to compute as one of ten.
    // So does adding a half beside rounding.
    ((random.unit() * 6.0 * LOG2_10).exp2() * 100.0 + 0.5) as i64
}
