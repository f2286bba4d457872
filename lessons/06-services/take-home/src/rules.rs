//! Who may call what.
//!
//! The mistakes this prevents: "any certificate of our CA", which makes everybody a client whom the
//! CA issues to; names that are compared by their end; a rule for an action that nobody was
//! allowed, and that lets everybody pass.
//!
//! A route without [`require`] has no rule. axum's `route_layer` covers the methods that were
//! added before it, and not those after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use thiserror::Error;

use crate::caller::Caller;
use crate::identity::{NotAServiceId, ServiceId};

/// For each action, the services that may do it. What isn't in here, nobody may do.
#[derive(Clone, Debug, Default)]
pub struct Rules(BTreeMap<&'static str, BTreeSet<ServiceId>>);

/// Why there is no rule.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RuleError {
    /// A name that is no service's: a wildcard, for example.
    #[error("{1:?} can't be allowed to {0}: {2}")]
    Name(&'static str, String, NotAServiceId),
    /// A route asks for an action that the table doesn't have.
    #[error("nobody is allowed to {0}: name the services that are")]
    NoRule(&'static str),
}

impl Rules {
    /// Nobody may do anything.
    pub fn new() -> Self {
        Self::default()
    }

    // ANCHOR: allow
    /// These services may do this, too.
    ///
    /// # Errors
    /// A name isn't a valid identity, for example because it has a wildcard.
    pub fn allow<'a>(
        mut self,
        action: &'static str,
        services: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, RuleError> {
        let allowed = self.0.entry(action).or_default();
        for name in services {
            let id = name.parse().map_err(|why| RuleError::Name(action, name.to_owned(), why))?;
            allowed.insert(id);
        }
        Ok(self)
    }

    /// The rule for a route: give it to `axum::middleware::from_fn_with_state`, together with
    /// [`require`].
    ///
    /// # Errors
    /// Nobody is allowed to do this, so the route would refuse everybody.
    pub fn to(&self, action: &'static str) -> Result<Rule, RuleError> {
        let allowed = self.0.get(action).filter(|allowed| !allowed.is_empty());
        let allowed = Arc::new(allowed.cloned().ok_or(RuleError::NoRule(action))?);
        Ok(Rule { allowed })
    }
    // ANCHOR_END: allow

    /// Whether this service may do this. An exact comparison, and no for an action that isn't in
    /// the table.
    pub fn allows(&self, action: &str, service: &ServiceId) -> bool {
        self.0.get(action).is_some_and(|allowed| allowed.contains(service))
    }
}

/// Who may pass on a route. See [`Rules::to`].
#[derive(Clone, Debug)]
pub struct Rule {
    allowed: Arc<BTreeSet<ServiceId>>,
}

/// For the log of [`serve`](crate::serve): which service the rule doesn't name.
#[derive(Clone, Debug)]
pub(crate) struct NotAllowed(pub ServiceId);

// ANCHOR: require
/// Lets the services of the rule pass; all others get 403 with an empty body.
pub async fn require(
    State(rule): State<Rule>,
    Caller(service): Caller,
    request: Request,
    next: Next,
) -> Response {
    rule.pass(service, request, next).await
}

impl Rule {
    pub(crate) async fn pass(&self, service: ServiceId, request: Request, next: Next) -> Response {
        if self.allowed.contains(&service) {
            return next.run(request).await;
        }
        let mut answer = StatusCode::FORBIDDEN.into_response();
        // For the log of `serve`. It isn't sent.
        answer.extensions_mut().insert(NotAllowed(service));
        answer
    }
}
// ANCHOR_END: require

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_that_were_named_may() {
        let rules = Rules::new().allow("charge", ["spiffe://bank.test/checkout"]).expect("a rule");
        let may = |action, name: &str| rules.allows(action, &name.parse().expect("a name"));
        assert!(may("charge", "spiffe://bank.test/checkout"));
        for other in [
            "spiffe://bank.test/checkout2",
            "spiffe://bank.test/x/checkout",
            "spiffe://evil.test/checkout",
            "spiffe://bank.test.evil.test/checkout",
            "bank.test",
        ] {
            assert!(!may("charge", other), "{other}");
        }
        assert!(!may("refund", "spiffe://bank.test/checkout"), "an action without a rule");
    }

    #[test]
    fn a_wildcard_or_a_route_without_a_rule_fails_at_the_start() {
        let wildcard = Rules::new().allow("charge", ["spiffe://bank.test/*"]);
        let expected =
            RuleError::Name("charge", "spiffe://bank.test/*".to_owned(), NotAServiceId::Wildcard);
        assert_eq!(wildcard.err(), Some(expected));
        let empty = Rules::new().allow("charge", []).expect("no name, no error");
        assert_eq!(empty.to("charge").err(), Some(RuleError::NoRule("charge")));
        assert_eq!(Rules::new().to("refund").err(), Some(RuleError::NoRule("refund")));
    }
}
