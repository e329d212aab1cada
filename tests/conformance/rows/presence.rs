//! Chapter 8: subscription events and the subscription API. There are no rows for them yet.

use crate::row::Row;

pub(super) fn rows() -> Vec<Row> {
    vec![]
}
