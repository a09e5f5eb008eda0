//! The connector through a host in miniature, and the shape of its events.

use std::collections::BTreeMap;

use millstream_sdk::prelude::*;
use millstream_sdk_test::SourceTest;

#[derive(Clone, Debug, PartialEq, Record)]
struct Person {
    id: i64,
    name: String,
    email_address: String,
    credit_card: String,
    city: String,
    state: String,
    date_time: Timestamp,
    extra: String,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Auction {
    id: i64,
    item_name: String,
    description: Option<String>,
    initial_bid: i64,
    reserve: i64,
    date_time: Timestamp,
    expires: Timestamp,
    seller: i64,
    category: i64,
    extra: String,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Bid {
    auction: i64,
    bidder: i64,
    price: i64,
    channel: String,
    url: String,
    date_time: Timestamp,
    extra: String,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Event {
    event_type: i32,
    person: Option<Person>,
    auction: Option<Auction>,
    bid: Option<Bid>,
}

/// Some columns, in another order.
#[derive(Clone, Debug, PartialEq, Record)]
struct BidPrice {
    price: i64,
    auction: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Few {
    bid: Option<BidPrice>,
    date_time: Timestamp,
}

fn source<T: Record>(events: &str) -> SourceTest {
    SourceTest::new::<T>(millstream_nexmark::plugin, "nexmark").option("events", events)
}

fn events(count: usize) -> Vec<Event> {
    source::<Event>(&count.to_string()).rows::<Event>().expect("events")
}

#[test]
fn of_fifty_events_one_is_a_person_and_three_are_auctions() {
    let events = events(5000);
    assert_eq!(events.len(), 5000);
    for (number, event) in events.iter().enumerate() {
        let expected = match number % 50 {
            0 => 0,
            1..4 => 1,
            _ => 2,
        };
        assert_eq!(event.event_type, expected, "event {number}");
        let present = [event.person.is_some(), event.auction.is_some(), event.bid.is_some()];
        let one: [bool; 3] = std::array::from_fn(|which| which as i32 == expected);
        assert_eq!(present, one, "event {number}");
    }
    let persons: Vec<_> = events.iter().filter_map(|event| event.person.as_ref()).collect();
    assert_eq!(persons.iter().map(|p| p.id).collect::<Vec<_>>(), (1000..1100).collect::<Vec<_>>());
    assert!(persons.iter().all(|p| p.credit_card.len() == 19 && !p.email_address.contains(' ')));
    let auctions: Vec<_> = events.iter().filter_map(|event| event.auction.as_ref()).collect();
    assert_eq!(auctions.iter().map(|a| a.id).collect::<Vec<_>>(), (1000..1300).collect::<Vec<_>>());
    for auction in auctions {
        assert!(auction.expires.0 > auction.date_time.0 && auction.reserve > auction.initial_bid);
        assert!((10..15).contains(&auction.category));
    }
}

#[test]
fn times_grow_by_gaps_within_their_bounds() {
    let events = events(5000);
    let time = |event: &Event| match event {
        Event { person: Some(person), .. } => person.date_time.0,
        Event { auction: Some(auction), .. } => auction.date_time.0,
        Event { bid: Some(bid), .. } => bid.date_time.0,
        _ => panic!("an event of no type"),
    };
    let times: Vec<_> = events.iter().map(time).collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (100..=1000).contains(gap)), "{:?}", gaps.iter().max());
    assert!(gaps.iter().any(|gap| *gap < 300) && gaps.iter().any(|gap| *gap > 800));
}

#[test]
fn some_auctions_and_bidders_are_hot_and_ids_refer_to_what_is_about_to_be() {
    let events = events(50_000);
    let mut newest = 0;
    let (mut bids, mut hot) = (0, 0);
    let mut bidders = BTreeMap::<i64, usize>::new();
    let mut channels = BTreeMap::<&str, usize>::new();
    for event in &events {
        if let Some(auction) = &event.auction {
            newest = auction.id;
        }
        let Some(bid) = &event.bid else { continue };
        bids += 1;
        hot += usize::from(bid.auction == 1000 + (newest - 1000) / 100 * 100);
        assert!((newest - 100..=newest + 10).contains(&bid.auction), "{} at {newest}", bid.auction);
        assert!((100..=100_000_000).contains(&bid.price));
        assert!(bid.url.starts_with("https://www.nexmark.com/"), "{}", bid.url);
        *bidders.entry(bid.bidder).or_default() += 1;
        *channels.entry(&bid.channel).or_default() += 1;
    }
    let share = |count: usize| count as f64 / f64::from(bids);
    assert!((0.48..0.54).contains(&share(hot)), "{}", share(hot));
    let most = bidders.values().max().copied().unwrap_or(0);
    // Ten persons are hot, one after the other.
    assert!((0.065..0.09).contains(&share(most)), "{}", share(most));
    assert!((0.11..0.14).contains(&share(channels["Google"])), "{}", share(channels["Google"]));
}

#[test]
fn the_contract() {
    source::<Event>("70000").check_contract();
    source::<Few>("1000").check_contract();
}

#[test]
fn columns_may_be_few_and_in_any_order() {
    let few = source::<Few>("1000").rows::<Few>().expect("events");
    for (few, all) in few.iter().zip(events(1000)) {
        let bid = all.bid.map(|bid| BidPrice { price: bid.price, auction: Some(bid.auction) });
        assert_eq!(few.bid, bid);
    }
}

#[test]
fn the_seed_decides_and_the_rate_does_not() {
    let rows = |name: &str, value: &str| {
        source::<Event>("300").option(name, value).rows::<Event>().expect("events")
    };
    assert_eq!(rows("seed", "42"), events(300));
    assert_ne!(rows("seed", "43"), events(300));
    assert_eq!(rows("rate", "100000"), events(300));
}

#[test]
fn without_a_limit_there_is_no_end() {
    let endless = SourceTest::new::<Few>(millstream_nexmark::plugin, "nexmark");
    assert!(endless.first(200_000).expect("events").len() >= 200_000);
}

#[test]
fn wrong_columns_and_options_are_refused() {
    #[derive(Clone, Record)]
    struct Wrong {
        bid: Option<WrongBid>,
    }
    #[derive(Clone, Record)]
    struct WrongBid {
        price: String,
    }
    #[derive(Clone, Record)]
    struct Never {
        bid: BidPrice,
    }
    let said = source::<Wrong>("1").open().expect_err("refused").to_string();
    assert!(said.contains("`price STRING NOT NULL`") && said.contains("BIGINT"), "{said}");
    let said = source::<Never>("1").open().expect_err("refused").to_string();
    assert!(said.contains("`bid` is NOT NULL"), "{said}");
    let said = source::<u64>("1").open().expect_err("refused").to_string();
    assert!(said.contains("no column `value"), "{said}");
    let said = source::<Few>("-1").open().expect_err("refused").to_string();
    assert!(said.contains("`events` is -1"), "{said}");
    let said = source::<Few>("1").option("gap-us-min", "2000").open().expect_err("refused");
    assert!(said.to_string().contains("2000"), "{said}");
}
