//! What the state of a node is called, so that it is found again when the program was changed.

use alloc::{format, string::String, vec::Vec};

use millstream_data::hash::{self, SEED};

use super::{GraphError, Node, NodeKind, StreamGraph};

impl StreamGraph {
    /// What a node is called in checkpoints: unlike its position that stays the same when other parts of
    /// the program change.
    ///
    /// That is its uid if it has one. Sources and sinks are called by their names, which the program
    /// gives. A chain is called by its name and a hash of what it reads: of the kinds of the nodes
    /// upstream, not of their names, so that another `map` in front of an exchange changes nothing
    /// behind it. Nodes that are alike are numbered.
    pub fn operator_id(&self, node: u32) -> String {
        let structures = self.structures();
        let mut plain =
            self.nodes.iter().zip(&structures).map(|(node, hash)| plain_id(node, *hash));
        let before: Vec<String> = plain.by_ref().take(node as usize).collect();
        let Some(own) = plain.next() else { return String::new() };
        match before.into_iter().filter(|other| *other == own).count() {
            0 => own,
            before => format!("{own} ({})", before + 1),
        }
    }

    /// By node a hash of what it is and reads.
    fn structures(&self) -> Vec<u64> {
        let mut hashes: Vec<u64> = Vec::new();
        for (node, found) in (0..).zip(&self.nodes) {
            let begin = match (&found.uid, &found.kind) {
                (Some(uid), _) => hash::bytes(hash::word(SEED, 0), uid.as_bytes()),
                (None, NodeKind::Source(_)) => {
                    hash::bytes(hash::word(SEED, 1), found.name.as_bytes())
                }
                (None, NodeKind::Chain { stateful: false, .. }) => hash::word(SEED, 2),
                (None, NodeKind::Chain { stateful: true, .. }) => hash::word(SEED, 3),
                (None, NodeKind::Sort(_)) => hash::word(SEED, 4),
                (None, NodeKind::Sink(_) | NodeKind::Result(_)) => hash::word(SEED, 5),
            };
            let mut inputs: Vec<(u16, u16, u64)> = Vec::new();
            // Whatever a node with a uid reads, it is the same. Edges lead forward.
            for (_, edge) in self.inputs(node).filter(|_| found.uid.is_none()) {
                let upstream = hashes.get(edge.from as usize).copied();
                inputs.push((edge.input, edge.output, upstream.unwrap_or(SEED)));
            }
            // In which order streams were united does not matter.
            inputs.sort_unstable();
            hashes.push(inputs.into_iter().fold(begin, |sum, (input, output, upstream)| {
                let ports = u64::from(input) << 16 | u64::from(output);
                hash::word(hash::word(sum, ports), upstream)
            }));
        }
        hashes
    }

    /// Checks that no two nodes have one uid.
    pub(super) fn check_uids(&self) -> Result<(), GraphError> {
        for (number, node) in self.nodes.iter().enumerate() {
            let Some(uid) = &node.uid else { continue };
            let is_taken = self.nodes.iter().take(number).any(|other| other.uid == node.uid);
            if is_taken || uid.trim().is_empty() {
                return Err(GraphError::Uid { uid: uid.clone() });
            }
        }
        Ok(())
    }
}

/// What a node is called, but that others may be called the same.
fn plain_id(node: &Node, structure: u64) -> String {
    if let Some(uid) = &node.uid {
        return uid.clone();
    }
    match node.kind {
        NodeKind::Source(_) => format!("source {}", node.name),
        NodeKind::Sink(_) => format!("sink {}", node.name),
        NodeKind::Result(_) => String::from("result"),
        NodeKind::Chain { .. } | NodeKind::Sort(_) => {
            format!("{} #{:08x}", node.name, structure as u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::{Connector, Environment};

    /// The ids of a program with so many maps in front of its exchange; uids are given to its sums.
    fn ids(maps: u32, uids: Option<[&str; 2]>, first: &str) -> Vec<String> {
        let env = Environment::new("job");
        let rows = env.source::<u64>(first, Connector::new("datagen"));
        let [left, right] = rows.fork();
        for (number, side) in [left, right].into_iter().enumerate() {
            let side = match maps {
                0 => side.map(|n| n).rebalance(),
                _ => side.map(|n| n).map(|n| n + 1).rebalance(),
            };
            let sums = side.key_by::<u64, _>(|n| *n).reduce(|sum, n| *sum += n);
            match uids {
                Some(uids) => sums.uid(uids[number]).uid("later").result(),
                None => sums.result(),
            }
        }
        let graph = env.build().graph().clone();
        assert_eq!(StreamGraph::decode(&graph.encode()).as_ref(), Ok(&graph));
        (0..graph.nodes.len() as u32).map(|node| graph.operator_id(node)).collect()
    }

    #[test]
    fn ids_do_not_depend_on_what_happens_in_front_of_an_exchange() {
        let (plain, mapped) = (ids(0, None, "in"), ids(1, None, "in"));
        let sums = |ids: &[String]| -> Vec<String> {
            ids.iter().filter(|id| id.starts_with("aggregate")).cloned().collect()
        };
        assert_eq!(sums(&plain).len(), 2);
        assert_eq!(sums(&plain), sums(&mapped));
        assert_ne!(sums(&plain), sums(&ids(0, None, "other")), "it reads something else");
        assert_eq!(plain[0], "source in");
        let mut all = plain.clone();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), plain.len(), "{plain:?}");
    }

    #[test]
    fn a_uid_is_the_id() {
        let ids = ids(0, Some(["a", "b"]), "in");
        assert!(ids.contains(&"a".into()) && ids.contains(&"b".into()), "{ids:?}");
    }

    #[test]
    fn a_uid_is_given_once() {
        for uids in [["a", "a"], ["a", " "]] {
            let env = Environment::new("job");
            for uid in uids {
                env.generate(|_, _| 0..1u64).uid(uid).result();
            }
            let refused = env.build().graph().check(1).unwrap_err();
            assert!(matches!(refused, GraphError::Uid { .. }), "{refused}");
        }
        let env = Environment::new("job");
        env.generate(|_, _| 0..1u64).uid("a").for_each(|_| ());
        assert_eq!(env.build().graph().check(1), Ok(()));
    }
}
