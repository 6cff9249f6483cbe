//! Rules in CEL, the language of Kubernetes' admission policies, as those have them.
//!
//! `TEST/rules.yaml` has the rules of a test by name, each like the `spec` of a
//! ValidatingAdmissionPolicy. Variables have their names alone here, and a validation with `each` is
//! made for every value of that list, which it calls `one`.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use anyhow::{Result, anyhow, bail};
use cel::{Context, Env, Program, Value as Answer, extensions};
use serde::Deserialize;
use serde_json::Value;
use tools::root;

use crate::{checker::none, yaml};

/// Kubernetes has these two libraries as well.
static LANGUAGE: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut language = Env::stdlib();
    extensions::lists(&mut language).expect("it is added once");
    extensions::strings(&mut language).expect("it is added once");
    Arc::new(language)
});

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    #[serde(default)]
    match_conditions: Vec<Named>,
    #[serde(default)]
    variables: Vec<Named>,
    validations: Vec<Validation>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    expression: Expression,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Validation {
    each: Option<Expression>,
    expression: Expression,
    #[serde(default)]
    message: String,
    message_expression: Option<Expression>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Expression(Program);

impl TryFrom<String> for Expression {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let program = LANGUAGE.compile(&text);
        Ok(Self(program.map_err(|error| format!("{text}: {error}"))?))
    }
}

/// The rules of a test, by name.
///
/// # Panics
///
/// If they cannot be read.
pub fn rules(test: &str) -> BTreeMap<String, Rule> {
    let file = root().join(format!("deploy/tests/{test}/rules.yaml"));
    yaml(&file).unwrap_or_else(|error| panic!("{error:#}"))
}

impl Rule {
    /// Fails with the messages of what is given and not valid.
    pub fn check(&self, given: &[(&str, &Value)]) -> Result<()> {
        none(self.problems(given))
    }

    /// The messages of what is given and not valid. What cannot be evaluated is not valid either.
    ///
    /// # Panics
    ///
    /// If CEL has no such values.
    pub fn problems(&self, given: &[(&str, &Value)]) -> Vec<String> {
        let mut context = Context::with_env(LANGUAGE.clone());
        for (name, value) in given {
            let added = context.add_variable(*name, *value);
            added.expect("CEL has the types of JSON");
        }
        let mut problems = Vec::new();
        for Named { name, expression } in &self.match_conditions {
            match expression.is_true(&context) {
                Ok(true) => {}
                Ok(false) => return problems,
                Err(error) => problems.push(format!("{name}: {error:#}")),
            }
        }
        for Named { name, expression } in &self.variables {
            match expression.evaluate(&context) {
                Ok(value) => {
                    context.add_variable_from_value(format!("variables.{name}"), value.clone());
                    context.add_variable_from_value(name, value);
                }
                Err(error) => problems.push(format!("{name}: {error:#}")),
            }
        }
        for (validation, number) in self.validations.iter().zip(1..) {
            match validation.problems(&mut context) {
                Ok(found) => problems.extend(found),
                Err(error) => problems.push(format!("validation {number}: {error:#}")),
            }
        }
        problems
    }
}

impl Validation {
    fn problems(&self, context: &mut Context<'_, '_>) -> Result<Vec<String>> {
        let each = match &self.each {
            None => Arc::new(vec![Answer::Null]),
            Some(each) => match each.evaluate(context)? {
                Answer::List(each) => each,
                other => bail!("{other:?} is no list"),
            },
        };
        let mut problems = Vec::new();
        for one in each.iter() {
            context.add_variable_from_value("one", one.clone());
            if self.expression.is_true(context)? {
                continue;
            }
            let message = match &self.message_expression {
                None => self.message.clone(),
                Some(message) => match message.evaluate(context)? {
                    Answer::String(message) => message.to_string(),
                    other => bail!("{other:?} is no message"),
                },
            };
            problems.push(message);
        }
        Ok(problems)
    }
}

impl Expression {
    /// An error does not quote the expression: the words that a mutation is to cause may be in that.
    fn evaluate(&self, context: &Context<'_, '_>) -> Result<Answer> {
        let answer = self.0.execute(context);
        answer.map_err(|error| anyhow!("{error}"))
    }

    fn is_true(&self, context: &Context<'_, '_>) -> Result<bool> {
        match self.evaluate(context)? {
            Answer::Bool(answer) => Ok(answer),
            other => bail!("{other:?} is neither true nor false"),
        }
    }
}
