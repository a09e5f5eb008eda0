//! The texts of events: slices of a few that are made once.

use millstream_sdk::generated::Random;

/// Letters in a pool that slices are taken from.
const POOL: usize = 16 << 10;
/// Channels that are not hot.
const CHANNELS: u64 = 10_000;
/// Half of the bids come through one of these.
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
/// Random numbers of channels and pools are others than those of events.
const PLACE: u64 = 1 << 63;

/// Where a bid comes from. There are too many for the caches: what is not asked for is not looked at.
#[derive(Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Its page.
    pub url: String,
}

/// The pools.
#[derive(Debug)]
pub(crate) struct Texts {
    /// Letters and spaces.
    spaced: String,
    /// Letters.
    dense: String,
    hot: Vec<Channel>,
    channels: Vec<Channel>,
}

impl Texts {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, PLACE);
        let spaced = (0..POOL).map(|_| letter_or(' ', &mut random)).collect();
        let dense = (0..POOL).map(|_| letter(&mut random)).collect();
        let hot =
            HOT_CHANNELS.iter().map(|name| Channel { name: (*name).into(), url: url(&mut random) });
        let hot = hot.collect();
        let channels = (0..CHANNELS).map(|number| {
            let mut url = url(&mut random);
            // One of ten has no id.
            if random.below(10) > 0 {
                let id = number.wrapping_mul(2_654_435_761) & 0x7FFF_FFFF;
                url.push_str(&format!("&channel_id={id}"));
            }
            Channel { name: format!("channel-{number}"), url }
        });
        Self { spaced, dense, hot, channels: channels.collect() }
    }

    /// 3 letters or more, below `length_end`, without spaces at the ends.
    pub(crate) fn words(&self, length_end: u64, random: &mut Random) -> &str {
        let length = 3 + random.below(length_end - 3) as usize;
        slice(&self.spaced, length, random).trim()
    }

    /// Letters that bring a row of `size` bytes to about `mean` bytes.
    pub(crate) fn extra(&self, size: usize, mean: usize, random: &mut Random) -> &str {
        let Some(wanted) = mean.checked_sub(size) else { return "" };
        let spread = wanted / 5;
        let length = wanted - spread + random.below(2 * spread as u64 + 1) as usize;
        slice(&self.dense, length, random)
    }

    pub(crate) fn channel(&self, random: &mut Random) -> &Channel {
        let all = if random.below(2) == 0 { &self.hot } else { &self.channels };
        &all[random.below(all.len() as u64) as usize]
    }
}

/// All letters are ASCII.
fn slice<'a>(pool: &'a str, length: usize, random: &mut Random) -> &'a str {
    let start = random.below((POOL - length.min(POOL)) as u64 + 1) as usize;
    pool.get(start..start + length).unwrap_or(pool)
}

fn letter(random: &mut Random) -> char {
    char::from(b'a' + random.below(26) as u8)
}

fn letter_or(other: char, random: &mut Random) -> char {
    if random.below(13) == 0 { other } else { letter(random) }
}

fn url(random: &mut Random) -> String {
    let mut url = String::from("https://www.nexmark.com");
    for _ in 0..3 {
        url.push('/');
        for _ in 0..3 + random.below(2) {
            url.push(letter_or('_', random));
        }
    }
    url.push_str("/item.htm?query=1");
    url
}
