//! Local times and instants in the time zone of the session, where that is not UTC.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::TimestampMicrosecondType,
};

use super::{cast, prepared};
use crate::{
    bind::Bound,
    time::Zone,
    types::{Kind, Type},
};

/// A cast between TIMESTAMP_LTZ and something else, which depends on the zone; `None` if it does not.
pub(super) fn cast_in_zone(bound: &Bound, to: &Kind, try_cast: bool) -> Option<Bound> {
    let zone = Zone::of_session()?;
    match (&bound.data_type.kind, to) {
        (Kind::TimestampLtz(_), Kind::TimestampLtz(_)) | (Kind::Null, _) => None,
        (Kind::TimestampLtz(_), to) if !to.is_nested() => {
            Some(cast(local(bound.clone()), to, try_cast))
        }
        (from, Kind::TimestampLtz(precision)) if !from.is_nested() => {
            let times = cast(bound.clone(), &Kind::Timestamp(*precision), try_cast);
            let kind = Kind::TimestampLtz(*precision);
            Some(moved(times, kind, zone, "INSTANT", Zone::instant))
        }
        _ => None,
    }
}

/// What clocks show at an instant, a TIMESTAMP; another value is as it is.
pub(super) fn local(bound: Bound) -> Bound {
    match (&bound.data_type.kind, Zone::of_session()) {
        (Kind::TimestampLtz(precision), Some(zone)) => {
            let kind = Kind::Timestamp(*precision);
            moved(bound, kind, zone, "LOCAL", Zone::local)
        }
        _ => bound,
    }
}

fn moved(
    bound: Bound,
    kind: Kind,
    zone: Zone,
    name: &'static str,
    time: fn(Zone, i64) -> i64,
) -> Bound {
    let result = Type { kind, nullable: bound.data_type.nullable };
    let arrow = result.kind.arrow();
    prepared(name, zone.to_string(), vec![bound], result, move |arrays, _| {
        let times = arrays[0].as_primitive::<TimestampMicrosecondType>();
        let made = times.unary::<_, TimestampMicrosecondType>(|micros| time(zone, micros));
        Ok(Arc::new(made.with_data_type(arrow.clone())) as ArrayRef)
    })
}

/// How far clocks of the session are in front of UTC at an instant; both in microseconds.
pub(super) fn offset(zone: Option<Zone>, micros: i64) -> i64 {
    zone.map_or(0, |zone| zone.offset(micros))
}
