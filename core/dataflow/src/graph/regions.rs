//! Which subtasks have to begin anew together.
//!
//! All channels are pipelined: a consumer takes rows while its producer makes them, and nothing of what
//! has been taken is kept. So when a subtask fails, whoever reads from it lacks what comes next, and
//! whoever it reads from has given rows away that nobody has any more; both begin anew, and with them
//! those whom they are connected with in turn. Such a connected part of the execution graph is a **region**.
//! Others have nothing to do with it and go on.

use alloc::{collections::BTreeMap, vec::Vec};

use super::execution::ExecutionGraph;

/// The regions of an execution graph: each subtask is in exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regions {
    /// By subtask, as it is numbered in the execution graph, its region.
    of: Vec<u32>,
    /// By region its subtasks, ascending. Regions are in the order of their first subtasks.
    members: Vec<Vec<u32>>,
}

impl Regions {
    /// The regions of a graph.
    pub fn new(execution: &ExecutionGraph) -> Self {
        let numbers: BTreeMap<_, u32> = execution.subtasks.iter().copied().zip(0..).collect();
        // Each subtask leads to another of its region with a lower number, the lowest to itself.
        let mut leads: Vec<u32> = (0..execution.subtasks.len() as u32).collect();
        for channel in &execution.channels {
            let ends = (numbers.get(&channel.producer), numbers.get(&channel.consumer));
            if let (Some(producer), Some(consumer)) = ends {
                let (a, b) = (lowest(&mut leads, *producer), lowest(&mut leads, *consumer));
                if let Some(lead) = leads.get_mut(a.max(b) as usize) {
                    *lead = a.min(b);
                }
            }
        }
        let mut regions = Self::default();
        let mut first: BTreeMap<u32, u32> = BTreeMap::new();
        for subtask in 0..leads.len() as u32 {
            let next = regions.members.len() as u32;
            let region = *first.entry(lowest(&mut leads, subtask)).or_insert(next);
            if region == next {
                regions.members.push(Vec::new());
            }
            regions.of.push(region);
            if let Some(members) = regions.members.get_mut(region as usize) {
                members.push(subtask);
            }
        }
        regions
    }

    /// All subtasks of a graph as one region, of a job whose subtasks begin anew together whatever they are
    /// connected with.
    pub fn whole(execution: &ExecutionGraph) -> Self {
        let all = (0..execution.subtasks.len() as u32).collect();
        Self { of: execution.subtasks.iter().map(|_| 0).collect(), members: alloc::vec![all] }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The region of a subtask, by its number; `None` if there is no such subtask.
    pub fn of(&self, subtask: u32) -> Option<u32> {
        self.of.get(subtask as usize).copied()
    }

    /// The numbers of the subtasks of a region, ascending; none if there is no such region.
    pub fn members(&self, region: u32) -> &[u32] {
        self.members.get(region as usize).map_or(&[], Vec::as_slice)
    }

    /// The numbers of the subtasks that begin anew when those fail of which `failed` holds, ascending: of
    /// one that had an error, or all of a process that died.
    pub fn restarted(&self, failed: impl Fn(u32) -> bool) -> Vec<u32> {
        let hit = self.members.iter().filter(|members| members.iter().any(|task| failed(*task)));
        let mut restarted: Vec<u32> = hit.flatten().copied().collect();
        restarted.sort_unstable();
        restarted
    }
}

/// The subtask with the lowest number that this one is known to be connected with. Ways there become shorter.
fn lowest(leads: &mut [u32], subtask: u32) -> u32 {
    let mut at = subtask;
    while let Some(lead) = leads.get(at as usize).copied().filter(|lead| *lead != at) {
        let beyond = leads.get(lead as usize).copied().unwrap_or(lead);
        if let Some(own) = leads.get_mut(at as usize) {
            *own = beyond;
        }
        at = lead;
    }
    at
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec};

    use millstream_data::types::Schema;
    use proptest::prelude::*;

    use super::*;
    use crate::graph::{
        Edge, Node, NodeKind, Partitioning, StreamGraph,
        chaining::Strategy as Chaining,
        execution::{Channel, Subtask},
    };

    fn node(parallelism: u32) -> Node {
        Node {
            name: String::from("chain"),
            kind: NodeKind::Chain { outputs: 1, stateful: false },
            parallelism: Some(parallelism),
            max_parallelism: None,
            chaining: Chaining::Always,
            uid: None,
            slot_sharing_group: String::from("default"),
            alignment: None,
        }
    }

    /// By region, the subtasks of a graph with nodes so wide and these edges.
    fn regions(nodes: &[u32], edges: &[(u32, u32, Partitioning)]) -> Vec<Vec<u32>> {
        let nodes = nodes.iter().map(|parallelism| node(*parallelism)).collect();
        let edge = |&(from, to, partitioning): &(u32, u32, Partitioning)| Edge {
            from,
            output: 0,
            to,
            input: 0,
            partitioning,
            schema: Schema::default(),
        };
        let edges = edges.iter().map(edge).collect();
        let graph = StreamGraph { nodes, edges, ..StreamGraph::default() };
        let regions = Regions::new(&ExecutionGraph::new(&graph, 1));
        for (region, number) in regions.members.iter().zip(0..) {
            assert_eq!(regions.members(number), region);
            assert!(region.iter().all(|task| regions.of(*task) == Some(number)));
        }
        regions.members
    }

    #[test]
    fn forward_edges_alone_make_a_region_of_each_subtask_of_the_source() {
        use Partitioning::Forward;
        let forward = [(0, 1, Forward), (1, 2, Forward)];
        let expected = [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5, 8]];
        assert_eq!(regions(&[3, 3, 3], &forward), expected);
    }

    #[test]
    fn one_edge_by_key_makes_one_region_of_all() {
        use Partitioning::{Forward, Hash};
        let edges = [(0, 1, Forward), (1, 2, Hash), (2, 3, Forward)];
        assert_eq!(regions(&[2, 2, 3, 3], &edges), [(0..10).collect::<Vec<_>>()]);
        // Beside it others are by themselves, those that nobody is connected with, too.
        let edges = [(0, 1, Hash), (2, 3, Forward)];
        let expected = [vec![0, 1, 2, 3], vec![4, 6], vec![5, 7], vec![8]];
        assert_eq!(regions(&[2, 2, 2, 2, 1], &edges), expected);
        assert_eq!(regions(&[], &[]), [[0; 0]; 0]);
    }

    #[test]
    fn rescaling_connects_groups_and_joins_connect_what_they_join() {
        use Partitioning::{Forward, Rescale};
        let expected = [vec![0, 2, 3], vec![1, 4, 5]];
        assert_eq!(regions(&[2, 4], &[(0, 1, Rescale)]), expected);
        let expected = [vec![0, 1, 4], vec![2, 3, 5]];
        assert_eq!(regions(&[4, 2], &[(0, 1, Rescale)]), expected);
        let join = [(0, 2, Forward), (1, 2, Forward), (3, 4, Forward)];
        let expected = [vec![0, 2, 4], vec![1, 3, 5], vec![6, 8], vec![7, 9]];
        assert_eq!(regions(&[2, 2, 2, 2, 2], &join), expected);
    }

    #[test]
    fn those_begin_anew_who_are_connected_with_one_that_failed() {
        let subtasks = (0..6).map(|index| Subtask { node: 0, index }).collect::<Vec<_>>();
        let channel = |from: usize, to: usize| Channel {
            edge: 0,
            producer: subtasks[from],
            subpartition: 0,
            consumer: subtasks[to],
        };
        let channels = vec![channel(0, 3), channel(5, 1), channel(3, 4)];
        let regions = Regions::new(&ExecutionGraph { subtasks: subtasks.clone(), channels });
        assert_eq!(regions.count(), 3);
        assert_eq!(regions.restarted(|task| task == 4), [0, 3, 4]);
        assert_eq!(regions.restarted(|task| task == 2), [2]);
        // A process with two of them.
        assert_eq!(regions.restarted(|task| task == 1 || task == 3), [0, 1, 3, 4, 5]);
        assert_eq!(regions.restarted(|_| false), [0; 0]);
        assert_eq!((regions.of(6), regions.members(3)), (None, &[][..]));
        let execution = ExecutionGraph { subtasks, channels: Vec::new() };
        let whole = Regions::whole(&execution);
        assert_eq!((whole.count(), whole.of(5)), (1, Some(0)));
        assert_eq!(whole.restarted(|task| task == 2), [0, 1, 2, 3, 4, 5]);
    }

    proptest! {
        /// Against what follows from looking at every pair until nothing changes.
        #[test]
        fn two_are_in_a_region_if_and_only_if_a_way_leads_from_one_to_the_other(
            count in 1..12u32,
            wires in prop::collection::vec((0..12u32, 0..12u32), 0..16),
        ) {
            let subtask = |index: u32| Subtask { node: index % 3, index };
            let is_there = |wire: &(u32, u32)| wire.0 < count && wire.1 < count;
            let wires: Vec<_> = wires.into_iter().filter(is_there).collect();
            let channel = |&(from, to): &(u32, u32)| Channel {
                edge: 0,
                producer: subtask(from),
                subpartition: 0,
                consumer: subtask(to),
            };
            let channels = wires.iter().map(channel).collect();
            let subtasks = (0..count).map(subtask).collect();
            let regions = Regions::new(&ExecutionGraph { subtasks, channels });
            let is_wired = |a, b| a == b || wires.contains(&(a, b)) || wires.contains(&(b, a));
            let row = |a| (0..count).map(|b| is_wired(a, b)).collect();
            let mut reach: Vec<Vec<bool>> = (0..count).map(row).collect();
            for via in 0..count as usize {
                for a in 0..count as usize {
                    for b in 0..count as usize {
                        reach[a][b] |= reach[a][via] && reach[via][b];
                    }
                }
            }
            for a in 0..count {
                for b in 0..count {
                    let together = regions.of(a) == regions.of(b);
                    let text = format!("{a} and {b}");
                    prop_assert_eq!(together, reach[a as usize][b as usize], "{}", text);
                }
            }
        }
    }
}
