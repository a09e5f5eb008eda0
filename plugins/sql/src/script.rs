//! Running a script: its statements one after the other, into one program.

mod create;
mod engine;
mod settings;
mod show;
mod sink;

use std::path::PathBuf;

use millstream_dataflow::Environment;
use sqlparser::{
    ast::{Ident, Query},
    tokenizer::Span,
};

use settings::Settings;

use crate::{
    bind::{Binder, Sorted},
    catalog::Catalog,
    error::SqlError,
    function::Functions,
    lower::{Mode, Running, Streams, check_written, connector, relation},
    parse::{CreateTable, Statement, StatementKind, parse},
    relation::{Explained, Rel},
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
    let jobs = sink::together(jobs);
    let mut streams =
        Streams::new(env, jobs.iter().map(|(_, relation)| relation), settings.bundle());
    for (sink, relation) in &jobs {
        let rows = streams.stream(relation)?;
        match sink {
            Some((name, connector)) => rows.sink(name, connector.clone()),
            None => rows.result(),
        }
    }
    settings.apply(env);
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
                        insert(&catalog, (&name, &[], false), (&columns, &query), mode)
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
            StatementKind::Insert { table, options, columns, query, last } => {
                let into = (&table, &options[..], last);
                let planned = insert(&catalog, into, (&columns, &query), mode)
                    .and_then(|(table, planned)| job(Some(&table), planned));
                planned.map_err(|error| error.or_at(span))?;
                jobs += 1;
                continue;
            }
            StatementKind::Query(query) => self::query(&catalog, &query, mode),
            StatementKind::Explain(statements) => explained(&catalog, &statements, mode),
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
    let bound = Binder::new(catalog).sorting(sorted(mode)).query(query)?;
    let columns = bound.columns.iter();
    let fields: Vec<(&str, &Type)> =
        columns.map(|column| (column.name.as_str(), &column.data_type)).collect();
    relation(&bound, &fields, mode)
}

/// When all rows are in the order of a query.
fn sorted(running: Running) -> Sorted {
    match running.mode {
        Mode::Batch => Sorted::AtTheEnd,
        Mode::Streaming => Sorted::ByTime,
    }
}

/// The table that an INSERT writes, and what makes the rows: of those with the same key the `last`, if it says so.
fn insert(
    catalog: &Catalog,
    (table, options, last): (&Ident, &[(String, String)], bool),
    (columns, query): (&[Ident], &Query),
    mode: Running,
) -> Result<(CreateTable, Rel), SqlError> {
    let table = catalog.table(table)?.with_options(options);
    let bound = Binder::new(catalog).sorting(sorted(mode)).insert(&table, columns, query)?;
    let planned = relation(&bound, &table.physical(), mode)?;
    check_written(&table)?;
    let taken = sink::taken(&table, planned, last)?;
    Ok((table, taken))
}

/// The row of EXPLAIN: the trees of some statements, with a line between them.
fn explained(catalog: &Catalog, statements: &[Statement], mode: Running) -> Result<Rel, SqlError> {
    let mut trees = Vec::new();
    for Statement { kind, span } in statements {
        let planned = match kind {
            StatementKind::Insert { table, options, columns, query, last } => {
                insert(catalog, (table, options, *last), (columns, query), mode)
                    .map(|(table, rows)| (Some(table.name.value), rows))
            }
            StatementKind::Query(query) => {
                self::query(catalog, query, mode).map(|rows| (None, rows))
            }
            // The parser lets nothing else through.
            _ => Err(SqlError::new("EXPLAIN takes a query, an INSERT or a statement set")),
        };
        let (sink, rows) = planned.map_err(|error| error.or_at(*span))?;
        trees.push(Explained { sink: sink.as_deref(), rows: &rows }.to_string());
    }
    show::text(&trees.join("\n"))
}

#[cfg(test)]
mod tests;
