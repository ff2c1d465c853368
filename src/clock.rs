//! The clock that fronts hand to the core.

use jiff::{Timestamp, civil::Date, tz::Offset};

/// The date in UTC.
pub fn today() -> Date {
    Offset::UTC.to_datetime(Timestamp::now()).date()
}
