//! The limits on what one request may ask for (draft-08 #resource-limits).

/// Lengths are bytes of the decoded value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Matcher parameters of one subscription request, before equal ones are taken together.
    pub matchers_max: usize,
    pub matcher_len_max: usize,
    /// Patterns of one subscription request that need a regular expression: they take longer to
    /// compile than others.
    pub regexps_max: usize,
    /// `topic` fields of one publication, before equal ones are taken together.
    pub topics_max: usize,
    pub topic_len_max: usize,
    /// An id travels in a header field of the answer, and proxies take few KiB of those.
    pub id_len_max: usize,
    pub event_type_len_max: usize,
    /// Form fields of one publication, known or not.
    pub fields_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            matchers_max: 1_000,
            matcher_len_max: 4096,
            regexps_max: 100,
            topics_max: 1_000,
            topic_len_max: 4096,
            id_len_max: 1024,
            event_type_len_max: 1024,
            fields_max: 2_000,
        }
    }
}
