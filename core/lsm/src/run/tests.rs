//! An index is read as it was written, and finds the right block.

use alloc::{vec, vec::Vec};

use super::*;

/// Blocks of two states; in the second the ranks 5 and 9 fill several.
fn index() -> Index {
    let span = |block, name: &[u8]| Span { block, name: name.into() };
    Index {
        format: Format::Tagged,
        sections: vec![(1, 0..2), (4, 2..8)],
        ends: (1..=8).map(|block| block * 100).collect(),
        last: vec![10, 20, 3, 5, 5, 9, 9, 12],
        spans: vec![span(3, b"b"), span(4, b"d"), span(5, b"x")],
        cleared: vec![(1, b"a"[..].into()), (4, b""[..].into())],
        entries: 77,
        span_bytes: 3 * 33,
        ..Index::default()
    }
}

#[test]
fn what_is_written_is_read() {
    let mut bytes = Vec::new();
    encode(&index(), &mut bytes);
    assert_eq!(decode(&bytes, 800), Ok(index()));
    for format in [Format::Untagged, Format::WithZstd] {
        let (other, mut bytes) = (Index { format, ..index() }, Vec::new());
        encode(&other, &mut bytes);
        assert_eq!(decode(&bytes, 800), Ok(other));
    }
    let mut newer = bytes.clone();
    newer[4] = 4;
    let error = decode(&newer, 800).unwrap_err();
    assert_eq!(error.what, "it has a format that this program does not read");
    assert!(decode(&bytes, 801).is_err());
    for at in 0..bytes.len() {
        assert!(decode(&bytes[..at], 800).is_err(), "cut at {at}");
    }
}

#[test]
fn a_name_is_in_one_block() {
    let index = index();
    let cases: [(u16, u64, &[u8], Option<u32>); 15] = [
        (1, 0, b"", Some(0)),
        (1, 10, b"", Some(0)),
        (1, 11, b"", Some(1)),
        (1, 21, b"", None),
        (2, 0, b"", None),
        (4, 3, b"z", Some(2)),
        (4, 4, b"a", Some(3)),
        (4, 5, b"a", Some(3)),
        (4, 5, b"b", Some(3)),
        (4, 5, b"c", Some(4)),
        (4, 5, b"e", Some(5)),
        (4, 9, b"a", Some(5)),
        (4, 9, b"y", Some(6)),
        (4, 10, b"", Some(7)),
        (4, 13, b"", None),
    ];
    for (state, rank, name, block) in cases {
        assert_eq!(index.locate(state, rank, name), block, "{state} {rank} {name:?}");
    }
    assert_eq!(
        (index.place(0), index.place(7), index.place(8)),
        (Some(0..100), Some(700..800), None)
    );
    assert!(index.hides(1, b"a") && index.hides(4, b"") && !index.hides(1, b""));
    assert!(index.goes_on(3) && !index.goes_on(2));
}

/// The pages of an index, its head, and the file that they are in.
fn paged(index: &Index) -> (Vec<Vec<u8>>, Index, RunFile) {
    let (mut pages, mut paged) = (Vec::new(), index.clone());
    let mut block = 0;
    while block < index.blocks_in_all() {
        let mut page = Vec::new();
        let known = put_page(index, block, &mut page);
        block = known.end_block;
        let before = paged.pages.last().map_or(0, |page| page.page_end);
        paged.pages.push(Page { page_end: before + page.len() as u32, ..known });
        pages.push(page);
    }
    let index_bytes = paged.pages.last().map_or(0, |page| page.page_end);
    paged.forget_pages();
    let mut head = Vec::new();
    encode_head(&paged, &mut head);
    let index_at = index.ends.last().copied().unwrap_or(0);
    let filter = filter_pages(index.lines).checked_sub(1);
    let filter = filter.map_or(0, |last| filter_page(index.lines, last).end);
    let file = RunFile {
        file: FileId(1),
        length: index_at + u64::from(index_bytes) + filter + head.len() as u64,
        checksum: 0,
        index_at,
        index_bytes,
        head_bytes: head.len() as u32,
        index_sum: 0,
        hiding: 0,
        first_rank: 0,
        end_rank: 1 << 48,
    };
    assert_eq!(decode_head(&head, &file).as_ref(), Ok(&paged));
    for at in 0..head.len() {
        assert!(decode_head(&head[..at], &file).is_err(), "cut at {at}");
    }
    let longer = RunFile { length: file.length + 1, ..file };
    assert!(decode_head(&head, &longer).is_err());
    (pages, paged, file)
}

/// A state of a few ranks that fill many blocks, and one of many ranks.
fn large() -> Index {
    let blocks = 900u64;
    let rank = |block: u64| match block {
        0..300 => block / 100,
        300..600 => (block - 300) * 10,
        _ => 7,
    };
    let goes_on = |block: u64| !matches!(block, 299 | 599 | 899) && rank(block) == rank(block + 1);
    let spans = (0..blocks).filter(|block| goes_on(*block)).map(|block| Span {
        block: block as u32,
        name: alloc::format!("{block:05}{}", "x".repeat((block % 60) as usize)).into_bytes().into(),
    });
    let spans: Vec<Span> = spans.collect();
    Index {
        sections: vec![(1, 0..300), (2, 300..600), (9, 600..900)],
        ends: (1..=blocks).map(|block| block * 50).collect(),
        last: (0..blocks).map(rank).collect(),
        span_bytes: spans.iter().map(|span| span_bytes(span.name.len())).sum(),
        spans,
        entries: 5,
        lines: 200,
        ..Index::default()
    }
}

#[test]
fn pages_say_what_the_index_does() {
    for index in [index(), large(), Index::default()] {
        let (pages, paged, _) = paged(&index);
        assert!(pages.iter().all(|page| page.len() <= 4087), "they are stored in a block");
        let opened = |page: u32| IndexPage::open(&pages[page as usize]).expect("a page");
        let mut whole = Index { format: index.format, ..Index::default() };
        for page in 0..pages.len() as u32 {
            assert_eq!(opened(page).append_to(&mut whole), Some(()));
        }
        assert_eq!((&whole.ends, &whole.last), (&index.ends, &index.last));
        assert_eq!(whole.spans, index.spans);
        for block in 0..index.blocks_in_all() {
            let page = opened(paged.page_of(block));
            assert_eq!(page.place(block), index.place(block));
            assert_eq!(page.goes_on(block), index.goes_on(block));
            let around = paged.around(block);
            assert!(
                index
                    .place(block)
                    .is_some_and(|at| around.start <= at.start && at.end <= around.end)
            );
        }
        let names = index.spans.iter().map(|span| span.name.to_vec());
        let names: Vec<Vec<u8>> = names.step_by(7).chain([b"".to_vec(), b"~".to_vec()]).collect();
        for (state, _) in index.sections.iter().chain([&(3, 0..0)]) {
            for rank in index.last.iter().step_by(5).flat_map(|rank| [*rank, rank + 1]) {
                for name in &names {
                    let page = paged.page_for(*state, rank, name);
                    let found = page.map(|page| opened(page).locate(rank, name));
                    assert_eq!(found, index.locate(*state, rank, name), "{state} {rank} {name:?}");
                }
            }
        }
    }
}

#[test]
fn pages_know_about_where_ranks_are() {
    let index = large();
    let (_, paged, _) = paged(&index);
    for (at, (_, section)) in index.sections.iter().enumerate() {
        for ranks in [0..1, 500..1000, 7..8, 0..u64::MAX, 2999..5000] {
            let (all, some) = (paged.blocks(section, &ranks), index.blocks(section, &ranks));
            let is_within = some.is_empty() || all.start <= some.start && some.end <= all.end;
            assert!(is_within, "{at}, {ranks:?}: {all:?} {some:?}");
        }
        let whole = paged.page_bytes(section, &(0..u64::MAX));
        assert!(whole.abs_diff(300 * 50) <= 300 * 50 / 10, "{at}: {whole}");
    }
    // A page is taken to be spread evenly, and the first one to begin where it is asked for.
    let spread = |ranks: Range<u64>| paged.page_bytes(&(300..600), &ranks);
    let (all, half) = (spread(0..u64::MAX), spread(0..1500));
    assert!(half < all && half.abs_diff(150 * 50) < 50 * 50, "{half} of {all}");
}

#[test]
fn a_filter_has_its_lines_in_pages() {
    let mut filter = crate::filter::Filter::new(10_000);
    (0..10_000u64).for_each(|key| filter.add(key.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let lines = filter.lines();
    let mut end = 0;
    for page in 0..filter_pages(lines) {
        let mut bytes = Vec::new();
        filter.put_page(page, &mut bytes);
        let place = filter_page(lines, page);
        assert_eq!((place.start, place.end - place.start), (end, bytes.len() as u64 + 9));
        end = place.end;
    }
    for line in 0..u64::from(lines) {
        let (page, at) = line_at(line);
        let mut bytes = Vec::new();
        filter.put_page(page, &mut bytes);
        let words: Vec<u8> = filter.words()[line as usize * 8..][..8]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        assert_eq!(bytes[at..at + 64], words);
    }
    assert_eq!(filter_pages(0), 0);
}
