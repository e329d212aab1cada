//! From a topic to the patterns and templates that may select it.
//!
//! Patterns lie in trees, one for each host and one for patterns of any host. An edge of a tree is
//! a segment of the path, or any segment. What is looked at grows with the patterns whose host and
//! first segments fit, not with all patterns; whether they select the topic is for them to say.
//! Templates of 0.x lie in one tree more, whose edges are what is between slashes in their first
//! literal.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::{
    index::RosterId,
    slab::{NONE, Slab},
};
use crate::{
    legacy::uri_template::UriTemplate,
    protocol::{
        pattern::{Pattern, segments},
        topic::TopicHasher,
        topic_url::Components,
    },
};

/// Segments that tell patterns apart; those that differ only further down are all looked at.
const DEPTH_MAX: usize = 16;

#[derive(Debug)]
struct Node {
    parent: u32,
    /// The host, at a root, or the segment; `None`: any.
    label: Option<Box<str>>,
    /// The child for any segment, or `NONE`.
    any: u32,
    /// Children for certain segments.
    named: u32,
    /// The patterns that begin with the path to here and say no more, or too much.
    rosters: SmallVec<[RosterId; 1]>,
}

#[derive(Debug)]
pub(super) struct PatternIndex {
    hasher: TopicHasher,
    nodes: Slab<Node>,
    /// Nodes by their parents and labels.
    named: HashTable<u32>,
    any_host: u32,
    len: usize,
    /// Of these, templates.
    templates: usize,
}

/// The root of the templates: no host has this name.
const TEMPLATES: Option<&str> = Some(" ");

/// What is between slashes in the literal that a template begins with; what the literal ends with
/// may go on.
fn literal_start(template: &UriTemplate) -> impl Iterator<Item = Option<&str>> {
    let whole = template.literal_start().rsplit_once('/').map(|(whole, _)| whole);
    whole.into_iter().flat_map(|whole| whole.split('/')).map(Some)
}

impl PatternIndex {
    pub(super) fn new(hasher: TopicHasher) -> Self {
        PatternIndex {
            hasher,
            nodes: Slab::new(),
            named: HashTable::new(),
            any_host: NONE,
            len: 0,
            templates: 0,
        }
    }

    pub(super) fn has_patterns(&self) -> bool {
        self.len > self.templates
    }

    pub(super) fn has_templates(&self) -> bool {
        self.templates > 0
    }

    /// Nodes of all trees.
    #[cfg(test)]
    pub(super) fn nodes_len(&self) -> usize {
        debug_assert!(self.named.len() <= self.nodes.len());
        self.nodes.len()
    }

    pub(super) fn insert(&mut self, pattern: &Pattern, roster: RosterId) {
        self.insert_at(pattern.host(), pattern.path_start().into_iter(), roster);
    }

    pub(super) fn insert_template(&mut self, template: &UriTemplate, roster: RosterId) {
        self.insert_at(TEMPLATES, literal_start(template), roster);
        self.templates += 1;
    }

    fn insert_at<'a>(
        &mut self,
        root: Option<&str>,
        path: impl Iterator<Item = Option<&'a str>>,
        roster: RosterId,
    ) {
        let mut node = self.child(NONE, root);
        for segment in path.take(DEPTH_MAX) {
            node = self.child(node, segment);
        }
        self.nodes[node].rosters.push(roster);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, pattern: &Pattern, roster: RosterId) {
        self.remove_at(pattern.host(), pattern.path_start().into_iter(), roster);
    }

    pub(super) fn remove_template(&mut self, template: &UriTemplate, roster: RosterId) {
        self.remove_at(TEMPLATES, literal_start(template), roster);
        self.templates -= 1;
    }

    fn remove_at<'a>(
        &mut self,
        root: Option<&str>,
        path: impl Iterator<Item = Option<&'a str>>,
        roster: RosterId,
    ) {
        let mut node = self.find(NONE, root);
        for segment in path.take(DEPTH_MAX) {
            node = self.find(node, segment);
        }
        self.nodes[node].rosters.retain(|other| *other != roster);
        self.len -= 1;
        while node != NONE && self.nodes[node].is_bare() {
            node = self.prune(node);
        }
    }

    /// Tells of every roster whose pattern may select a topic with this URL, once.
    pub(super) fn candidates(&self, url: Components<'_>, tell: impl FnMut(RosterId)) {
        let roots = [self.find(NONE, Some(url.host())), self.any_host];
        self.walk(roots, segments(url.path()), tell);
    }

    /// Tells of every roster whose template may select this topic, once.
    pub(super) fn template_candidates(&self, topic: &str, tell: impl FnMut(RosterId)) {
        self.walk([self.find(NONE, TEMPLATES)], topic.split('/'), tell);
    }

    fn walk<'a>(
        &self,
        roots: impl IntoIterator<Item = u32>,
        segments: impl Iterator<Item = &'a str>,
        mut tell: impl FnMut(RosterId),
    ) {
        let segments: SmallVec<[&str; DEPTH_MAX]> = segments.take(DEPTH_MAX).collect();
        let mut left: SmallVec<[(u32, usize); DEPTH_MAX]> = SmallVec::new();
        left.extend(roots.into_iter().map(|root| (root, 0)));
        while let Some((node, depth)) = left.pop() {
            if node == NONE {
                continue;
            }
            let Node { any, named, rosters, .. } = &self.nodes[node];
            rosters.iter().for_each(|roster| tell(*roster));
            let Some(segment) = segments.get(depth) else { continue };
            left.push((*any, depth + 1));
            if *named > 0 {
                left.push((self.find(node, Some(segment)), depth + 1));
            }
        }
    }

    fn find(&self, parent: u32, label: Option<&str>) -> u32 {
        let Some(label) = label else { return self.any(parent) };
        let is_it = |node: &u32| {
            let node = &self.nodes[*node];
            node.parent == parent && node.label.as_deref() == Some(label)
        };
        self.named.find(self.hash(parent, label), is_it).copied().unwrap_or(NONE)
    }

    fn any(&self, parent: u32) -> u32 {
        if parent == NONE { self.any_host } else { self.nodes[parent].any }
    }

    fn child(&mut self, parent: u32, label: Option<&str>) -> u32 {
        let found = self.find(parent, label);
        if found != NONE {
            return found;
        }
        let node = Node {
            parent,
            label: label.map(Box::from),
            any: NONE,
            named: 0,
            rosters: SmallVec::new(),
        };
        let id = self.nodes.insert(node).index();
        match label {
            None => self.set_any(parent, id),
            Some(label) => {
                let hash = self.hash(parent, label);
                let PatternIndex { hasher, nodes, named, .. } = self;
                named.insert_unique(hash, id, |node| {
                    let Node { parent, label, .. } = &nodes[*node];
                    hasher.hash_one((*parent, label.as_deref().unwrap_or_default()))
                });
                if parent != NONE {
                    self.nodes[parent].named += 1;
                }
            }
        }
        id
    }

    /// Removes a node that holds nothing. Returns its parent.
    fn prune(&mut self, node: u32) -> u32 {
        let Node { parent, label, .. } = self.nodes.remove(node);
        match label {
            None => self.set_any(parent, NONE),
            Some(label) => {
                let hash = self.hash(parent, &label);
                if let Ok(entry) = self.named.find_entry(hash, |other| *other == node) {
                    entry.remove();
                }
                if parent != NONE {
                    self.nodes[parent].named -= 1;
                }
            }
        }
        parent
    }

    fn set_any(&mut self, parent: u32, node: u32) {
        match parent {
            NONE => self.any_host = node,
            parent => self.nodes[parent].any = node,
        }
    }

    fn hash(&self, parent: u32, label: &str) -> u64 {
        self.hasher.hash_one((parent, label))
    }
}

impl Node {
    fn is_bare(&self) -> bool {
        self.any == NONE && self.named == 0 && self.rosters.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{hub_url::HubUrl, topic::Topic};

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text, HubUrl::without_name().url()).unwrap()
    }

    /// Every pattern that selects a topic is a candidate for it, and few others are.
    #[test]
    fn candidates_are_those_whose_host_and_segments_fit() {
        let (hub, hasher) = (HubUrl::without_name(), TopicHasher::new());
        let texts = [
            "https://a.x/b/:id",
            "https://a.x/b/1",
            "https://a.x/:b/1",
            "https://a.x/c/*",
            r"https://a.x/b/(\d+)",
            "https://b.x/b/:id",
            "https://:host.x/b/:id",
            "*://*:*/*",
            r"urn\:b\:1",
            "/b/:id",
            "https://a.x/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/:x",
        ];
        let patterns = texts.map(pattern);
        let mut index = PatternIndex::new(hasher.clone());
        for (roster, pattern) in (0..).zip(&patterns) {
            index.insert(pattern, roster);
        }
        let candidates = |index: &PatternIndex, text: &str| {
            let topic = Topic::new(text, &hub, &hasher);
            let mut found = Vec::new();
            index.candidates(topic.url().unwrap(), |roster| found.push(roster));
            found.sort_unstable();
            for (roster, pattern) in (0..).zip(&patterns) {
                let selects = pattern.matches(topic.url().unwrap());
                assert!(!selects || found.contains(&roster), "{text} {pattern:?}");
            }
            found
        };
        for (topic, expected) in [
            ("https://a.x/b/1", &[0, 1, 2, 4, 6, 7][..]),
            ("https://a.x/c/1/2", &[2, 3, 7]),
            ("https://b.x/b/1", &[5, 6, 7]),
            ("https://c.x/", &[7]),
            ("urn:b:1", &[6, 7, 8]),
            ("/b/9", &[6, 7, 9]),
            ("https://a.x/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18", &[7, 10]),
        ] {
            assert_eq!(candidates(&index, topic), expected, "{topic}");
        }
        for (roster, pattern) in (0..).zip(&patterns) {
            index.remove(pattern, roster);
        }
        assert!(!index.has_patterns());
        assert_eq!((index.nodes_len(), index.named.len(), index.any_host), (0, 0, NONE));
    }
    #[test]
    fn templates_are_found_by_the_segments_that_they_begin_with() {
        let texts = [
            "https://a.x/b/{id}",
            "https://a.x/b/1{?q}",
            "https://a.x/b/1/{?q}",
            "https://a.x/c/{id}",
            "https://{host}/b/1",
            "{+all}",
            "urn:b:{id}",
        ];
        let templates = texts.map(|text| UriTemplate::parse(text).unwrap());
        let mut index = PatternIndex::new(TopicHasher::new());
        for (roster, template) in (0..).zip(&templates) {
            index.insert_template(template, roster);
        }
        assert!(index.has_templates() && !index.has_patterns());
        let topics = ["https://a.x/b/1", "https://a.x/b/1/?q=1", "https://a.x/b/", "urn:b:1", "x"];
        for topic in topics.into_iter().chain(texts) {
            let mut found = Vec::new();
            index.template_candidates(topic, |roster| found.push(roster));
            for (roster, template) in (0..).zip(&templates) {
                let selects = template.matches(topic);
                assert!(!selects || found.contains(&roster), "{topic} {template:?}");
            }
            let has_c = topic.starts_with("https://a.x/c/");
            assert_eq!(found.contains(&3), has_c, "{topic}");
        }
        for (roster, template) in (0..).zip(&templates) {
            index.remove_template(template, roster);
        }
        assert_eq!((index.nodes_len(), index.named.len(), index.any_host), (0, 0, NONE));
        assert!(!index.has_templates());
    }
}
