//! Streams of rows whose columns are known only at run time: what SQL is lowered to.

use alloc::{boxed::Box, string::String, vec, vec::Vec};
use core::slice;

use millstream_data::types::Schema;

use super::environment::{
    Connector, Environment, Opened, RowFactory, Settings, Upstream, copy, only,
};
use crate::{
    chain::{Chain, OpenInfo, TaskError},
    graph::{ConnectorSpec, NodeKind, Partitioning, alignment::SourceAlignment},
    operator::rows::{PageFunction, PageFunctionChain, RowFunction, RowFunctionChain, RowStates},
    writer::run::{Division, RunWriter},
};

/// Rows of a schema, between two chains. Each chain is the caller's, and writes its rows with the
/// [`RunWriter`] that it is given.
#[derive(Clone, Debug)]
pub struct RowStream {
    env: Environment,
    upstreams: Vec<Upstream>,
    schema: Schema,
}

impl Environment {
    /// The rows that a connector reads, of the columns in `schema`.
    pub fn source_rows(&self, name: &str, connector: Connector, schema: Schema) -> RowStream {
        let settings = Settings { name: Some(name.into()), ..Settings::default() };
        let spec = spec(connector, &schema);
        let node = self.add(settings, NodeKind::Source(spec), None);
        RowStream::of(self, node, 0, schema)
    }

    /// The rows that a chain makes out of nothing ([`produce`](crate::Chain::produce)), in one subtask.
    pub fn produce_rows(
        &self,
        name: &str,
        schema: Schema,
        make: impl Fn(&OpenInfo, RunWriter) -> Opened + Send + Sync + 'static,
    ) -> RowStream {
        self.made_of_nothing(name, Some(1), schema, make)
    }

    /// The rows that chains make out of nothing, one in each subtask: which of them makes which rows is theirs
    /// to know. They have as many subtasks as what follows.
    pub fn generate_rows(
        &self,
        name: &str,
        schema: Schema,
        make: impl Fn(&OpenInfo, RunWriter) -> Opened + Send + Sync + 'static,
    ) -> RowStream {
        self.made_of_nothing(name, None, schema, make)
    }

    fn made_of_nothing(
        &self,
        name: &str,
        parallelism: Option<u32>,
        schema: Schema,
        make: impl Fn(&OpenInfo, RunWriter) -> Opened + Send + Sync + 'static,
    ) -> RowStream {
        let settings = Settings { name: Some(name.into()), parallelism, ..Settings::default() };
        let kind = NodeKind::Chain { outputs: 1, stateful: false };
        let schemas = slice::from_ref(&schema);
        let node = self.add_rows(settings, kind, schemas, with_one(make));
        RowStream::of(self, node, 0, schema)
    }
}

impl Environment {
    /// What writes these rows for one reader, and can be told how to divide them: a copy of them, if it is a
    /// connector or others read the same pages.
    fn of_its_own(&self, upstream: Upstream, name: &str) -> Upstream {
        if !self.is_source(upstream.node) && !self.is_shared(upstream.node, upstream.output) {
            return upstream;
        }
        let schema = upstream.schema.clone();
        let rows =
            RowStream { env: self.clone(), upstreams: vec![upstream], schema: schema.clone() };
        let copied = schema.clone();
        let make: RowFactory = Box::new(move |_, writers| copy(&copied, writers));
        let kind = NodeKind::Chain { outputs: 1, stateful: false };
        let (_, node) = rows.node(name.into(), kind, slice::from_ref(&schema), make);
        let partitioning = Partitioning::Forward;
        Upstream { node, output: 0, input: 0, partitioning, schema }
    }
}

/// A factory that uses the only writer.
fn with_one(make: impl Fn(&OpenInfo, RunWriter) -> Opened + Send + Sync + 'static) -> RowFactory {
    Box::new(move |info, writers| make(info, only(writers)?))
}

impl RowStream {
    fn of(env: &Environment, node: u32, output: u16, schema: Schema) -> Self {
        let partitioning = Partitioning::Forward;
        let upstream = Upstream { node, output, input: 0, partitioning, schema: schema.clone() };
        Self { env: env.clone(), upstreams: vec![upstream], schema }
    }

    /// The columns.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Gives what makes these rows, if that is one chain, another name: in metrics and errors, and as a part of
    /// what its state is called in checkpoints. What no longer has this name does not take over its state.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        if let [upstream] = &self.upstreams[..] {
            self.env.name_node(upstream.node, name.into());
        }
        self
    }

    /// Lets the source that reads these rows wait for others of its group.
    ///
    /// # Panics
    /// If they are not what a connector reads.
    #[must_use]
    pub fn aligned(self, alignment: &SourceAlignment) -> Self {
        self.upstreams.iter().for_each(|read| self.env.align(read.node, alignment));
        self
    }

    /// The rows, of `schema`, that a chain makes of these.
    pub fn chain(
        self,
        name: impl Into<String>,
        schema: Schema,
        make: impl Fn(&OpenInfo, RunWriter) -> Opened + Send + Sync + 'static,
    ) -> Self {
        let kind = NodeKind::Chain { outputs: 1, stateful: false };
        self.one(name.into(), kind, schema, make)
    }

    /// The rows of `schemas`, a stream for each, that one chain makes of these. It writes as many rows of
    /// each as it makes of a page, with the writers, which are in the same order.
    ///
    /// # Panics
    /// If `schemas` is empty.
    pub fn chain_apart(
        self,
        name: impl Into<String>,
        schemas: &[Schema],
        make: impl Fn(&OpenInfo, Vec<RunWriter>) -> Opened + Send + Sync + 'static,
    ) -> Vec<Self> {
        assert!(!schemas.is_empty(), "a chain without an output ends a stream");
        let kind = NodeKind::Chain { outputs: schemas.len() as u16, stateful: false };
        let (env, node) = self.node(name.into(), kind, schemas, Box::new(make));
        let outputs = (0..).zip(schemas);
        outputs.map(|(output, schema)| Self::of(&env, node, output, schema.clone())).collect()
    }

    /// The same rows, to be read several times: by each clone of the stream. Their pages are written once,
    /// and shared by those who read them.
    #[must_use]
    pub fn shared(self) -> Self {
        let Self { env, upstreams, schema } = self;
        let shared = upstreams.into_iter().map(|upstream| {
            let upstream = env.of_its_own(upstream, "share");
            env.divide_rows(upstream.node, upstream.output, Division::All);
            upstream
        });
        let upstreams = shared.collect();
        Self { env, upstreams, schema }
    }

    /// Divides the rows by these physical columns: those with equal cells reach the same subtask of what
    /// follows.
    pub fn key_by(self, columns: &[usize]) -> Self {
        let Self { env, upstreams, schema } = self;
        let divided = upstreams.into_iter().map(|upstream| {
            let upstream = env.of_its_own(upstream, "divide");
            env.divide_rows(upstream.node, upstream.output, Division::Key(columns.into()));
            Upstream { partitioning: Partitioning::Hash, ..upstream }
        });
        let upstreams = divided.collect();
        Self { env, upstreams, schema }
    }

    /// These rows, and those of another stream as the second input of what follows.
    pub fn beside(mut self, second: Self) -> Self {
        let second = second.upstreams.into_iter();
        self.upstreams.extend(second.map(|upstream| Upstream { input: 1, ..upstream }));
        self
    }

    /// The rows, of `schema`, that a function with keyed state makes of these, which were
    /// [divided](Self::key_by) by its keys. `make` is called in each subtask, and adds the states.
    pub fn function<F: RowFunction>(
        self,
        name: impl Into<String>,
        schema: Schema,
        make: impl Fn(&mut RowStates, &OpenInfo) -> Result<F, TaskError> + Send + Sync + 'static,
    ) -> Self {
        let kind = NodeKind::Chain { outputs: 1, stateful: true };
        self.one(name.into(), kind, schema, move |info, writer| {
            let mut states = RowStates::open(info)?;
            let function = make(&mut states, info)?;
            Ok(Box::new(RowFunctionChain::new(function, states, writer)))
        })
    }

    /// The rows, of `schema`, that a function makes of the rows of each page. `make` is called in each subtask.
    pub fn pages<F: PageFunction>(
        self,
        name: impl Into<String>,
        schema: Schema,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        let made = move |_: &OpenInfo, writer| {
            let chain: Box<dyn Chain> = Box::new(PageFunctionChain::new(make(), writer));
            Ok(chain)
        };
        self.chain(name, schema, made)
    }

    fn one(
        self,
        name: String,
        kind: NodeKind,
        schema: Schema,
        make: impl Fn(&OpenInfo, RunWriter) -> Opened + Send + Sync + 'static,
    ) -> Self {
        let (env, node) = self.node(name, kind, slice::from_ref(&schema), with_one(make));
        Self::of(&env, node, 0, schema)
    }

    /// Adds a node that reads these rows.
    fn node(
        self,
        name: String,
        kind: NodeKind,
        schemas: &[Schema],
        make: RowFactory,
    ) -> (Environment, u32) {
        let Self { env, upstreams, .. } = self;
        let settings = Settings { name: Some(name), ..Settings::default() };
        let node = env.add_rows(settings, kind, schemas, make);
        env.connect(upstreams, node);
        (env, node)
    }

    /// The rows of both streams, which have the same columns.
    pub fn union(mut self, other: Self) -> Self {
        debug_assert_eq!(self.schema, other.schema);
        self.upstreams.extend(other.upstreams);
        self
    }

    /// Writes the rows with a connector.
    pub fn sink(self, name: &str, connector: Connector) {
        let Self { env, upstreams, schema } = self;
        let settings = Settings { name: Some(name.into()), ..Settings::default() };
        let node = env.add(settings, NodeKind::Sink(spec(connector, &schema)), None);
        env.connect(upstreams, node);
    }

    /// Makes the rows the job's result.
    pub fn result(self) {
        let Self { env, upstreams, schema } = self;
        let partitioning = Partitioning::Global;
        let upstreams = upstreams.into_iter().map(|upstream| {
            // Shared pages go wherever they are read, and not to one place.
            let upstream = match env.is_shared(upstream.node, upstream.output) {
                true => env.of_its_own(upstream, "gather"),
                false => upstream,
            };
            Upstream { partitioning, ..upstream }
        });
        let upstreams = upstreams.collect();
        let settings =
            Settings { name: Some("result".into()), parallelism: Some(1), ..Settings::default() };
        let node = env.add(settings, NodeKind::Result(schema), None);
        env.connect(upstreams, node);
    }
}

fn spec(connector: Connector, schema: &Schema) -> ConnectorSpec {
    let Connector { name, options, .. } = connector;
    ConnectorSpec { connector: name, options, schema: schema.clone() }
}
