//! Well-formed inputs to begin with.

use std::sync::Arc;

use millstream_data::{
    Decimal, Value,
    evolution::Snapshot,
    page::{PageBuilder, Shape, Sizing},
    value::Record,
};
use millstream_dataflow::{Connector, Environment, graph::encode_schema};

use crate::rows::Everything;

/// Words as bytes, aligned to 16.
pub(crate) fn with_bytes<R>(words: &[u128], length: usize, read: impl FnOnce(&[u8]) -> R) -> R {
    read(&bytemuck::cast_slice(words)[..length])
}

/// The same, to be written.
pub(crate) fn with_bytes_mut<R>(words: &mut [u128], write: impl FnOnce(&mut [u8]) -> R) -> R {
    write(bytemuck::cast_slice_mut(words))
}

pub(crate) fn none() -> Vec<Vec<u8>> {
    vec![Vec::new(), vec![0; 64]]
}

pub(crate) fn pages() -> Vec<Vec<u8>> {
    let shape = Arc::new(Shape::new(&Everything::schema()));
    let sizing = Sizing::new(Arc::clone(&shape), 16384).expect("it fits");
    [0, 1, 20]
        .map(|rows| {
            let mut words = vec![0u128; 1024];
            with_bytes_mut(&mut words, |bytes| {
                let mut page = PageBuilder::<Everything, _>::new(bytes, &shape, sizing.layout());
                for id in 0..rows {
                    let row = Everything {
                        id,
                        name: "n".repeat(id as usize % 30),
                        note: (id % 2 == 0).then(|| "a note of some length".into()),
                        delay: (id % 3 != 0).then_some(id as i32),
                        price: Decimal(id.into()),
                        open: id % 2 == 1,
                        numbers: (id % 5 != 0)
                            .then(|| (0..id % 4).map(|n| (n != 2).then_some(n as i32)).collect()),
                        tags: (0..id % 3)
                            .map(|n| (n.to_string(), vec![(n == 1, "y".repeat(15)); n as usize]))
                            .collect(),
                        nested: (id % 4 != 0).then(|| (id as i16, "x".repeat(id as usize))),
                    };
                    page.append(row.view()).expect("it fits");
                }
                let sealed = page.seal(&shape, true);
                sealed.buffer[..sealed.length].to_vec()
            })
        })
        .into()
}

pub(crate) fn graphs() -> Vec<Vec<u8>> {
    let env = Environment::new("fuzz");
    env.source::<Everything>("rows", Connector::new("filesystem").option("path", "/a"))
        .filter(|row| row.open)
        .key_by::<u64, _>(|row| row.id)
        .reduce(|_, _| ())
        .result();
    vec![env.build().graph().encode()]
}

pub(crate) fn schemas() -> Vec<Vec<u8>> {
    vec![encode_schema(&Everything::schema()), encode_schema(&u64::schema())]
}

pub(crate) fn frames() -> Vec<Vec<u8>> {
    use millstream_exchange::{ChannelId, frame::FrameHeader};
    let header = FrameHeader::credit(ChannelId(7), 3);
    let mut bytes = [0; 32];
    header.encode(&mut bytes);
    vec![bytes.into()]
}

pub(crate) fn configs() -> Vec<Vec<u8>> {
    vec![
        b"[memory]\nnetwork = \"1 MiB\"\nsegment-size = 4096\n".to_vec(),
        b"memory.process.size = \"1 GiB\"".to_vec(),
        b"exchange.buffer-timeout=-1".to_vec(),
    ]
}

pub(crate) fn csv() -> Vec<Vec<u8>> {
    vec![
        b"1,one,true,1;2;;3,Zm9v\n2,\"two, quoted\",false,,\n,,,\"\",\n".to_vec(),
        b"-5,\"a \"\"quote\"\"\",TRUE,\"4;5\",Zg==\r\n7,plain,,8,\"\"\r\n".to_vec(),
        b"9,no line end,false,-1,Zm9vYg==".to_vec(),
    ]
}

pub(crate) fn json() -> Vec<Vec<u8>> {
    vec![
        br#"{"a":1,"b":["x",null,"a string of some length"],"c":{"k":[true],"l":[]},"d":null}"#
            .to_vec(),
        b"{\"b\":[],\"d\":{\"f0\":-1.5e3,\"f1\":[\"Zm9v\",\"\"]},\"more\":[{}]}\n\n{\"b\":[]}\r\n"
            .to_vec(),
        br#"{"c":{"\u00e4":[false,true]},"b":["\"\\ \n"],"a":-9223372036854775808}"#.to_vec(),
    ]
}

pub(crate) fn changes() -> Vec<Vec<u8>> {
    vec![
        b"{\"data\":{\"a\":1,\"b\":[]},\"op\":\"+I\"}\n{\"data\":{\"b\":[]},\"op\":\"-D\"}\n"
            .to_vec(),
        br#"{"before":{"a":1,"b":[]},"after":{"a":2,"b":["x"]},"op":"u","ts_ms":1}"#.to_vec(),
        br#"{"schema":{},"payload":{"before":null,"after":{"b":[null]},"op":"c"}}"#.to_vec(),
    ]
}

pub(crate) fn snapshots() -> Vec<Vec<u8>> {
    vec![Snapshot::value(Everything::schema()).encode(), Snapshot::key(u64::schema()).encode()]
}
