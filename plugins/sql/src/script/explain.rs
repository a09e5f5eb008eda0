//! EXPLAIN: what the statements mean, what will run for that, and the graph of the job.

use millstream_dataflow::{
    Environment,
    graph::{NodeKind, StreamGraph},
};

use super::{bound_insert, bound_query, inserted, selected, show, write_down};
use crate::{
    catalog::Catalog,
    error::SqlError,
    lower::{Running, connector},
    operator::Bundling,
    parse::{Statement, StatementKind},
    relation::{Explained, Rel},
};

/// The row of EXPLAIN: of some statements the plans as they were bound, the trees of operators, and the graph of the one
/// job that they are.
pub(super) fn explained(
    catalog: &Catalog,
    statements: &[Statement],
    (mode, bundling): (Running, Option<Bundling>),
) -> Result<Rel, SqlError> {
    let (mut logical, mut physical, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
    for Statement { kind, span } in statements {
        let planned = match kind {
            StatementKind::Insert { table, options, columns, query, conflict } => {
                bound_insert(catalog, (table, options), (columns, query), mode).and_then(
                    |(table, bound)| {
                        let rows = inserted(&table, &bound, *conflict, mode)?;
                        Ok((Some(table), bound, rows))
                    },
                )
            }
            StatementKind::Query(query) => bound_query(catalog, query, mode)
                .and_then(|bound| selected(&bound, mode).map(|rows| (None, bound, rows))),
            // The parser lets nothing else through.
            _ => Err(SqlError::new("EXPLAIN takes a query, an INSERT or a statement set")),
        };
        let (table, bound, rows) = planned.map_err(|error| error.or_at(*span))?;
        logical.push(format!("{}\n", bound.plan.display_indent()));
        let sink = table.as_ref().map(|table| table.name.value.as_str());
        physical.push(Explained { sink, rows: &rows }.to_string());
        let sink = table.map(|table| Ok((table.name.value.clone(), connector(&table)?)));
        jobs.push(sink.transpose().map(|sink| (sink, rows)));
    }
    let graph = jobs.into_iter().collect::<Result<Vec<_>, SqlError>>().and_then(|jobs| {
        let env = Environment::new("explained");
        write_down(jobs, bundling, &env)?;
        Ok(graph(env.build().graph()))
    });
    // What is only looked at need not run.
    let graph = graph.unwrap_or_else(|error| format!("there is none: {error}\n"));
    show::text(&format!(
        "== Logical Plan ==\n{}\n== Physical Plan ==\n{}\n== Job Graph ==\n{graph}",
        logical.join("\n"),
        physical.join("\n"),
    ))
}

/// A line for each node: its number, what it is, its subtasks if they are not the job's, and whose rows it reads.
fn graph(graph: &StreamGraph) -> String {
    let mut shown = String::new();
    for (number, node) in graph.nodes.iter().enumerate() {
        let what = match &node.kind {
            NodeKind::Source(spec) => format!("Source {} [{}]", node.name, spec.connector),
            NodeKind::Sink(spec) => format!("Sink {} [{}]", node.name, spec.connector),
            NodeKind::Chain { stateful: true, .. } => format!("{} [state]", node.name),
            NodeKind::Chain { .. } | NodeKind::Sort(_) => node.name.clone(),
            NodeKind::Result(_) => "Result".to_owned(),
        };
        let subtasks = match node.parallelism {
            None => String::new(),
            Some(1) => ", 1 subtask".to_owned(),
            Some(subtasks) => format!(", {subtasks} subtasks"),
        };
        let inputs = graph.edges.iter().filter(|edge| edge.to as usize == number);
        let inputs = inputs.map(|edge| format!("{} {}", edge.from + 1, edge.partitioning.name()));
        let inputs = inputs.collect::<Vec<_>>().join(", ");
        let arrow = if inputs.is_empty() { "" } else { " <- " };
        shown.push_str(&format!("{}. {what}{subtasks}{arrow}{inputs}\n", number + 1));
    }
    shown
}
