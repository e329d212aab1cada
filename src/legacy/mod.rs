//! What Mercure was before version 1.0 (draft-07), for the clients that still speak it: all of it is
//! here, below everything else, so that it can be taken away one day with the few lines that call
//! it.

pub mod uri_template;
