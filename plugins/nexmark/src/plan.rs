//! Which cells of a page an event goes to.

use millstream_sdk::{data::page::Full, prelude::*};

use crate::model::Event;

/// The columns that a job asks for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
enum Column {
    EventType(usize),
    DateTime(usize),
    Nested { which: i32, group: usize, cells: Vec<Cell> },
}

/// A field of a nested row.
#[derive(Clone, Debug)]
struct Cell {
    column: usize,
    nullable: bool,
    kind: Kind,
    /// Its position among the fields of the event.
    field: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Time,
}

/// A value of an event.
enum Value<'a> {
    Number(i64),
    Text(&'a str),
}

const PERSON: &[(&str, Kind)] = &[
    ("id", Kind::Number),
    ("name", Kind::Text),
    ("email_address", Kind::Text),
    ("credit_card", Kind::Text),
    ("city", Kind::Text),
    ("state", Kind::Text),
    ("date_time", Kind::Time),
    ("extra", Kind::Text),
];
const AUCTION: &[(&str, Kind)] = &[
    ("id", Kind::Number),
    ("item_name", Kind::Text),
    ("description", Kind::Text),
    ("initial_bid", Kind::Number),
    ("reserve", Kind::Number),
    ("date_time", Kind::Time),
    ("expires", Kind::Time),
    ("seller", Kind::Number),
    ("category", Kind::Number),
    ("extra", Kind::Text),
];
const BID: &[(&str, Kind)] = &[
    ("auction", Kind::Number),
    ("bidder", Kind::Number),
    ("price", Kind::Number),
    ("channel", Kind::Text),
    ("url", Kind::Text),
    ("date_time", Kind::Time),
    ("extra", Kind::Text),
];
const NESTED: [(&str, &[(&str, Kind)]); 3] =
    [("person", PERSON), ("auction", AUCTION), ("bid", BID)];

impl Plan {
    /// The plan for a schema.
    pub(crate) fn new(schema: &Schema) -> Result<Self, Error> {
        let mut next = 0;
        let columns = schema.fields.iter().map(|field| Column::new(field, &mut next));
        Ok(Self { columns: columns.collect::<Result<_, _>>()? })
    }

    /// Writes the cells of an event.
    pub(crate) fn put(&self, rows: &mut Rows<'_>, event: &Event<'_>) -> Result<(), Full> {
        for column in &self.columns {
            match column {
                Column::EventType(column) => rows.put_fixed(*column, event.which().to_le_bytes()),
                Column::DateTime(column) => rows.put_fixed(*column, event.time().to_le_bytes()),
                Column::Nested { which, group, cells } if *which == event.which() => {
                    rows.put_group(*group);
                    for cell in cells {
                        match event.value(cell.field) {
                            Value::Number(value) => {
                                rows.put_fixed(cell.column, value.to_le_bytes());
                            }
                            Value::Text(text) => rows.put_str(cell.column, text)?,
                        }
                    }
                }
                Column::Nested { group, cells, .. } => {
                    rows.put_null(*group);
                    cells.iter().try_for_each(|cell| cell.blank(rows))?;
                }
            }
        }
        Ok(())
    }
}

impl Column {
    fn new(field: &Field, next: &mut usize) -> Result<Self, Error> {
        let column = *next;
        *next += 1;
        let nested = NESTED.iter().position(|(name, _)| *name == field.name);
        match (field.name.as_str(), &field.data_type, nested) {
            ("event_type", DataType::Int32, _) => Ok(Self::EventType(column)),
            ("date_time", data_type, _) if Kind::Time.is(data_type) => Ok(Self::DateTime(column)),
            (_, DataType::Row(fields), Some(which)) if field.nullable => {
                let known = NESTED[which].1;
                let cells = fields.iter().map(|field| Cell::new(field, known, next));
                let cells = cells.collect::<Result<_, _>>()?;
                Ok(Self::Nested { which: which as i32, group: column, cells })
            }
            (_, DataType::Row(_), Some(_)) => Err(Error::new(format!(
                "the column `{}` is NOT NULL, but it is NULL for events of another type",
                field.name
            ))),
            _ => Err(Error::new(format!(
                "nexmark has no column `{field}`: it has event_type INT, date_time TIMESTAMP, and \
                 person, auction and bid, which are rows"
            ))),
        }
    }
}

impl Cell {
    fn new(field: &Field, known: &[(&str, Kind)], next: &mut usize) -> Result<Self, Error> {
        let position = known.iter().position(|(name, _)| *name == field.name);
        let found = position.and_then(|position| Some((position, known.get(position)?.1)));
        match found {
            Some((position, kind)) if kind.is(&field.data_type) => {
                let column = *next;
                *next += 1;
                Ok(Self { column, nullable: field.nullable, kind, field: position })
            }
            Some((_, kind)) => Err(Error::new(format!(
                "the column `{field}` is of another type: it is {}",
                kind.name()
            ))),
            None => {
                let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
                let names = names.join(", ");
                Err(Error::new(format!("there is no column `{field}`: there are {names}")))
            }
        }
    }

    /// Below a row that is NULL.
    fn blank(&self, rows: &mut Rows<'_>) -> Result<(), Full> {
        match (self.nullable, self.kind) {
            (true, _) => rows.put_null(self.column),
            (false, Kind::Text) => rows.put_str(self.column, "")?,
            (false, _) => rows.put_fixed(self.column, [0; 8]),
        }
        Ok(())
    }
}

impl Kind {
    fn is(self, data_type: &DataType) -> bool {
        match self {
            Self::Number => *data_type == DataType::Int64,
            Self::Text => *data_type == DataType::String,
            Self::Time => {
                matches!(data_type, DataType::Timestamp { .. } | DataType::TimestampLtz { .. })
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Number => "BIGINT",
            Self::Text => "STRING",
            Self::Time => "TIMESTAMP",
        }
    }
}

impl Event<'_> {
    fn which(&self) -> i32 {
        match self {
            Self::Person { .. } => 0,
            Self::Auction { .. } => 1,
            Self::Bid { .. } => 2,
        }
    }

    fn time(&self) -> i64 {
        match self {
            Self::Person { date_time, .. }
            | Self::Auction { date_time, .. }
            | Self::Bid { date_time, .. } => *date_time,
        }
    }

    /// The field at a position in [`PERSON`], [`AUCTION`] or [`BID`].
    fn value(&self, field: usize) -> Value<'_> {
        use Value::{Number, Text};
        match *self {
            Self::Person {
                id,
                name,
                email_address,
                credit_card,
                city,
                state,
                date_time,
                extra,
            } => match field {
                0 => Number(id),
                1 => Text(name),
                2 => Text(email_address),
                3 => Text(credit_card),
                4 => Text(city),
                5 => Text(state),
                6 => Number(date_time),
                _ => Text(extra),
            },
            Self::Auction {
                id,
                item_name,
                description,
                initial_bid,
                reserve,
                date_time,
                expires,
                seller,
                category,
                extra,
            } => match field {
                0 => Number(id),
                1 => Text(item_name),
                2 => Text(description),
                3 => Number(initial_bid),
                4 => Number(reserve),
                5 => Number(date_time),
                6 => Number(expires),
                7 => Number(seller),
                8 => Number(category),
                _ => Text(extra),
            },
            Self::Bid { auction, bidder, price, channel, date_time, extra } => match field {
                0 => Number(auction),
                1 => Number(bidder),
                2 => Number(price),
                3 => Text(&channel.name),
                4 => Text(&channel.url),
                5 => Number(date_time),
                _ => Text(extra),
            },
        }
    }
}
