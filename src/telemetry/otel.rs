//! Spans for an OpenTelemetry collector, by OTLP over HTTP (protobuf), as the `OTEL_…` variables of the specification say:
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
//!
//! A span's trace is the one that errors and log lines name, and that of the caller's `traceparent`.

use crate::trace::TRACE;
use opentelemetry::{
    Context,
    propagation::TextMapPropagator,
    trace::{SpanId, TraceId, TracerProvider},
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{IdGenerator, RandomIdGenerator, SdkTracerProvider},
};
use std::{collections::HashMap, env, sync::OnceLock};
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// The layer that sends spans.
///
/// # Errors
/// One line about a bad `OTEL_…` variable.
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync>() -> Result<impl Layer<S>, String> {
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).build();
    let exporter = exporter.map_err(|error| format!("OpenTelemetry: {error}"))?;
    let resource = Resource::builder();
    let resource = if env::var_os("OTEL_SERVICE_NAME").is_none() { resource.with_service_name("ires-chat") } else { resource };
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_id_generator(Ours::default()).with_resource(resource.build()).build();
    let tracer = PROVIDER.get_or_init(|| provider).tracer("ires-chat");
    let spans = Targets::new().with_target("ires_chat", Level::INFO);
    Ok(tracing_opentelemetry::layer().with_location(false).with_threads(false).with_tracer(tracer).with_filter(spans))
}

/// Puts a request's span below that of its caller.
pub fn continue_from(span: &Span, traceparent: &str) {
    let headers = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    // Without this layer, as for a span that is filtered out, there is nothing to put.
    let _ = span.set_parent(parent);
}

/// Sends what was not sent yet.
pub fn finish() {
    if let Some(Err(error)) = PROVIDER.get().map(SdkTracerProvider::shutdown) {
        tracing::warn!(%error, "the last spans could not be sent");
    }
}

/// Takes the trace from the task, if its name can be one.
#[derive(Debug, Default)]
struct Ours(RandomIdGenerator);

impl IdGenerator for Ours {
    fn new_trace_id(&self) -> TraceId {
        let ours = TRACE.try_with(|trace| TraceId::from_hex(&trace.to_string()).ok()).ok().flatten();
        ours.filter(|id| *id != TraceId::INVALID).unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}
