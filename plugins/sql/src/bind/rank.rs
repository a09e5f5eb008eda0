//! ROW_NUMBER in a plan.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use arrow::datatypes::{DataType as Arrow, Field};
use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use sqlparser::tokenizer::Span;

use super::{
    aggregate::Order,
    node::{all_but, compared_by_identity, of_input},
};
use crate::relation::RANK;

/// Adds to each row its place among those of its partition as a last column, [`RANK`]. A filter above
/// says how far it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct RowNumber {
    pub(crate) input: Arc<LogicalPlan>,
    /// Columns of the input.
    pub(crate) partition: Vec<Expr>,
    /// Columns of the input.
    pub(crate) order: Vec<Order>,
    /// How many rows of each partition are asked for, as far as that is known.
    pub(crate) limit: Option<u64>,
    /// Whether the order is that of event time, the latest first.
    pub(crate) latest: bool,
    /// Where it is called in the script.
    pub(crate) span: Span,
    schema: DFSchemaRef,
}

impl RowNumber {
    pub(super) fn new(
        input: Arc<LogicalPlan>,
        partition: Vec<Expr>,
        order: Vec<Order>,
        latest: bool,
        span: Span,
    ) -> Result<Self, DataFusionError> {
        let rank = DFSchema::from_unqualified_fields(
            vec![Field::new(RANK, Arrow::Int64, false)].into(),
            HashMap::new(),
        )?;
        let schema = Arc::new(input.schema().join(&rank)?);
        Ok(Self { input, partition, order, limit: None, latest, span, schema })
    }

    /// That of a plan, if it begins with one.
    pub(crate) fn in_plan(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
            _ => None,
        }
    }

    fn identity(&self) -> (&LogicalPlan, &[Expr], &[Order], Option<u64>, bool) {
        (&self.input, &self.partition, &self.order, self.limit, self.latest)
    }
}

compared_by_identity!(RowNumber);

impl UserDefinedLogicalNodeCore for RowNumber {
    fn name(&self) -> &str {
        "RowNumber"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.partition.iter().chain(self.order.iter().map(|key| &key.expr)).cloned().collect()
    }

    /// A row that is dropped leaves its rank to the next one, unless all of its partition are dropped.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        all_but(&self.partition, &self.schema)
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |expressions: Vec<String>| expressions.join(", ");
        let partition = shown(self.partition.iter().map(ToString::to_string).collect());
        let order = shown(self.order.iter().map(|key| key.expr.to_string()).collect());
        write!(f, "RowNumber: partition by [{partition}], order by [{order}]")
    }

    fn with_exprs_and_inputs(
        &self,
        expressions: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        let mut expressions = expressions.into_iter();
        let partition = expressions.by_ref().take(self.partition.len()).collect();
        let order = expressions.zip(&self.order).map(|(expr, key)| Order { expr, ..*key });
        let order = order.collect();
        let [input] = <[LogicalPlan; 1]>::try_from(inputs)
            .map_err(|_| DataFusionError::Plan("ROW_NUMBER has one input".into()))?;
        let node = Self::new(Arc::new(input), partition, order, self.latest, self.span)?;
        Ok(Self { limit: self.limit, ..node })
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![of_input(output, self.input.schema())])
    }
}
