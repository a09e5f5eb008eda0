//! Running a script: its statements one after the other, into one program.

mod create;
mod engine;
mod explain;
mod settings;
mod show;
mod sink;

use std::path::PathBuf;

use millstream_dataflow::{Connector, Environment};
use sqlparser::{
    ast::{Ident, Query},
    tokenizer::Span,
};

use settings::Settings;

use crate::{
    bind::{Binder, Relation, Sorted},
    catalog::Catalog,
    error::SqlError,
    function::Functions,
    lower::{Mode, Running, Streams, check_written, connector, relation},
    operator::Bundling,
    parse::{CreateTable, OnConflict, StatementKind, parse},
    relation::Rel,
    time::Session,
    types::Type,
};

/// Writes the program of a script down: all of its INSERTs as one job, and its query, if it has one, as the
/// job's result. What EXPLAIN, SHOW and DESCRIBE give is a result, too.
///
/// # Errors
/// If a statement is wrong, or there is nothing to run.
pub fn build(script: &str, env: &Environment) -> Result<(), SqlError> {
    build_in(script, "streaming", &[], env)
}

/// The same in another mode, `streaming` or `batch`, unless the script says its own, with the functions of the
/// plugins in some directories.
///
/// # Errors
/// Those of [`build`], and if there is no such mode.
pub(crate) fn build_in(
    script: &str,
    mode: &str,
    plugins: &[PathBuf],
    env: &Environment,
) -> Result<(), SqlError> {
    let mut jobs = Vec::new();
    let settings = each_in(script, (mode, plugins), |table, relation| {
        let sink = table.map(|table| Ok((table.name.value.clone(), connector(table)?)));
        jobs.push((sink.transpose()?, relation));
        Ok(())
    })?;
    write_down(jobs, settings.bundling(), env)?;
    settings.apply(env);
    Ok(())
}

/// What makes rows, and where they go: into a table of this name by a connector, or to the result.
type Planned = (Option<(String, Connector)>, Rel);

/// Writes down what rows are made and where they go.
fn write_down(
    jobs: Vec<Planned>,
    bundling: Option<Bundling>,
    env: &Environment,
) -> Result<(), SqlError> {
    let jobs = sink::together(jobs);
    let mut streams = Streams::new(env, jobs.iter().map(|(_, relation)| relation), bundling);
    for (sink, relation) in &jobs {
        let rows = streams.stream(relation)?;
        match sink {
            Some((name, connector)) => rows.sink(name, connector.clone()),
            None => rows.result(),
        }
    }
    Ok(())
}

/// How a script would be run: for each INSERT, and for its query, the tree of operators, one a line.
///
/// # Errors
/// Those of [`build`], but for what the engine cannot run yet.
pub fn explain(script: &str) -> Result<String, SqlError> {
    let mut shown = String::new();
    each(script, |_, relation| {
        if !shown.is_empty() {
            shown.push('\n');
        }
        shown.push_str(&relation.to_string());
        Ok(())
    })?;
    Ok(shown)
}

/// Plans what a script runs, and does something with each plan: with the table that takes the rows, if they are
/// not the result. Gives what was set.
fn each(
    script: &str,
    job: impl FnMut(Option<&CreateTable>, Rel) -> Result<(), SqlError>,
) -> Result<Settings, SqlError> {
    each_in(script, ("streaming", &[]), job)
}

fn each_in(
    script: &str,
    (mode, plugins): (&str, &[PathBuf]),
    mut job: impl FnMut(Option<&CreateTable>, Rel) -> Result<(), SqlError>,
) -> Result<Settings, SqlError> {
    let default = settings::mode(mode)
        .map_err(|takes| SqlError::new(format!("--mode {takes}; it was given '{mode}'")))?;
    let (mut catalog, mut settings) = (Catalog::default(), Settings::default());
    catalog.functions = Functions::of(plugins);
    let mut result: Option<Span> = None;
    let mut jobs = 0;
    let statements = parse(script)?;
    // The last word counts, wherever it stands.
    let all = Settings::of(&statements);
    let mode = all.running(default);
    let _session = Session::in_zone(all.zone());
    for statement in statements {
        let span = statement.span;
        let _known = catalog.functions.known();
        let rows = match statement.kind {
            StatementKind::Set(key, value) => {
                settings.set(key, value).map_err(|error| error.or_at(span))?;
                continue;
            }
            StatementKind::Reset(key) => {
                settings.reset(key.as_deref()).map_err(|error| error.or_at(span))?;
                continue;
            }
            StatementKind::CreateTable(table) => {
                catalog.add_table(*table)?;
                continue;
            }
            StatementKind::CreateTableAs { table, order, query } => {
                if catalog.has(&table.name) && table.if_not_exists {
                    continue;
                }
                let planned = create::table_as(&mut catalog, *table, &order, &query)
                    .and_then(|(name, columns)| {
                        insert(&catalog, (&name, &[], None), (&columns, &query), mode)
                    })
                    .and_then(|(table, planned)| job(Some(&table), planned));
                planned.map_err(|error| error.or_at(span))?;
                jobs += 1;
                continue;
            }
            StatementKind::CreateView { name, columns, query, if_not_exists } => {
                // A view that is wrong is found where it is made.
                Binder::new(&catalog).query(&query)?;
                catalog.add_view(&name, columns, query, if_not_exists)?;
                continue;
            }
            StatementKind::CreateFunction(function) => {
                catalog.functions.create(&function)?;
                continue;
            }
            StatementKind::DropFunction { name, if_exists } => {
                catalog.functions.remove(&name, if_exists)?;
                continue;
            }
            StatementKind::Drop { view, name, if_exists } => {
                catalog.remove(&name, view, if_exists)?;
                continue;
            }
            StatementKind::Insert { table, options, columns, query, conflict } => {
                let into = (&table, &options[..], conflict);
                let planned = insert(&catalog, into, (&columns, &query), mode)
                    .and_then(|(table, planned)| job(Some(&table), planned));
                planned.map_err(|error| error.or_at(span))?;
                jobs += 1;
                continue;
            }
            StatementKind::Query(query) => self::query(&catalog, &query, mode),
            StatementKind::Explain(statements) => {
                explain::explained(&catalog, &statements, (mode, all.bundling()))
            }
            StatementKind::Show(shown) => show::show(&shown, &catalog, &settings),
            StatementKind::Describe(name) => show::describe(&name, &catalog),
        };
        if result.replace(span).is_some() {
            let message = "a script has one result, the rows of a query, EXPLAIN, SHOW or DESCRIBE: write \
                           those of other queries with INSERT INTO, and take the other statements out";
            return Err(SqlError::spanned(span, message));
        }
        rows.and_then(|rows| job(None, rows)).map_err(|error| error.or_at(span))?;
        jobs += 1;
    }
    match jobs {
        0 => Err(SqlError::new("the script runs nothing: it has no INSERT and no query")),
        _ => Ok(settings),
    }
}

/// What makes the rows of a query.
fn query(catalog: &Catalog, query: &Query, mode: Running) -> Result<Rel, SqlError> {
    selected(&bound_query(catalog, query, mode)?, mode)
}

fn bound_query(catalog: &Catalog, query: &Query, mode: Running) -> Result<Relation, SqlError> {
    Binder::new(catalog).sorting(sorted(mode)).query(query)
}

/// What makes the rows of a query that is bound.
fn selected(bound: &Relation, mode: Running) -> Result<Rel, SqlError> {
    let columns = bound.columns.iter();
    let fields: Vec<(&str, &Type)> =
        columns.map(|column| (column.name.as_str(), &column.data_type)).collect();
    relation(bound, &fields, mode)
}

/// When all rows are in the order of a query.
fn sorted(running: Running) -> Sorted {
    match running.mode {
        Mode::Batch => Sorted::AtTheEnd,
        Mode::Streaming => Sorted::ByTime,
    }
}

/// The table that an INSERT writes, and what makes the rows: of those with the same key what it says of conflicts.
fn insert(
    catalog: &Catalog,
    (table, options, conflict): (&Ident, &[(String, String)], Option<OnConflict>),
    rows: (&[Ident], &Query),
    mode: Running,
) -> Result<(CreateTable, Rel), SqlError> {
    let (table, bound) = bound_insert(catalog, (table, options), rows, mode)?;
    let taken = inserted(&table, &bound, conflict, mode)?;
    Ok((table, taken))
}

fn bound_insert(
    catalog: &Catalog,
    (table, options): (&Ident, &[(String, String)]),
    (columns, query): (&[Ident], &Query),
    mode: Running,
) -> Result<(CreateTable, Relation), SqlError> {
    let table = catalog.table(table)?.with_options(options);
    let bound = Binder::new(catalog).sorting(sorted(mode)).insert(&table, columns, query)?;
    Ok((table, bound))
}

/// What makes the rows of an INSERT that is bound.
fn inserted(
    table: &CreateTable,
    bound: &Relation,
    conflict: Option<OnConflict>,
    mode: Running,
) -> Result<Rel, SqlError> {
    // Conflicts are looked for when the watermark rises.
    let time = matches!(conflict, Some(OnConflict::Nothing | OnConflict::Error));
    let planned = relation(bound, &table.physical(), Running { time, ..mode })?;
    check_written(table)?;
    sink::taken(table, planned, conflict, mode)
}

#[cfg(test)]
mod tests;
