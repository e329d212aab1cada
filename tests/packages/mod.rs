//! What the hub is shipped in: the image, as containers run it; the unit for systemd; the compose
//! file; and the documentation of all three.

mod compose;
mod docker;
mod documentation;
mod image;
mod names;
mod network;
mod unit;
