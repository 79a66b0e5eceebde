"""Every name that leaves the process for a log, trace or metrics system, spelled once; read by tracing, metrics and their users.

Semantic conventions 1.44. A rename there is one edit here.
"""

from __future__ import annotations

from typing import Final

SERVICE_PREFIX: Final = "agentmesh-"
SERVICE_NAMESPACE: Final = "agentmesh"
# How the `ce_source` of what the mesh itself sends begins.
OWN_SOURCES: Final = "/agentmesh/"

# --- resource ---------------------------------------------------------------------------------------------------------

RESOURCE_SERVICE_NAME: Final = "service.name"
RESOURCE_SERVICE_NAMESPACE: Final = "service.namespace"
RESOURCE_SERVICE_VERSION: Final = "service.version"
RESOURCE_SERVICE_INSTANCE_ID: Final = "service.instance.id"
RESOURCE_ENVIRONMENT: Final = "deployment.environment.name"

# --- messaging spans --------------------------------------------------------------------------------------------------

MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_SYSTEM_KAFKA: Final = "kafka"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
MESSAGING_DESTINATION_PARTITION_ID: Final = "messaging.destination.partition.id"
MESSAGING_CONSUMER_GROUP_NAME: Final = "messaging.consumer.group.name"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_CONVERSATION_ID: Final = "messaging.message.conversation_id"
MESSAGING_BATCH_MESSAGE_COUNT: Final = "messaging.batch.message_count"
MESSAGING_KAFKA_OFFSET: Final = "messaging.kafka.offset"
CLOUDEVENTS_EVENT_ID: Final = "cloudevents.event_id"
CLOUDEVENTS_EVENT_TYPE: Final = "cloudevents.event_type"
CLOUDEVENTS_EVENT_SUBJECT: Final = "cloudevents.event_subject"
ERROR_TYPE: Final = "error.type"

# Ours, on the spans of the workflow.
REQUEST_ID: Final = "request.id"
TASK_ID: Final = "agentmesh.task.id"
TASK_ATTEMPT: Final = "agentmesh.task.attempt"

OPERATION_SEND: Final = "send"
OPERATION_POLL: Final = "poll"
OPERATION_PROCESS: Final = "process"
OPERATION_COMMIT: Final = "commit"
# An operation's own name -> its type in the conventions.
OPERATION_TYPES: Final = {
    OPERATION_SEND: "send",
    OPERATION_POLL: "receive",
    OPERATION_PROCESS: "process",
    OPERATION_COMMIT: "settle",
}

# --- spans of agents, HTTP and servers; what the libraries make themselves is not repeated here ------------------------

GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_INVOKE_AGENT: Final = "invoke_agent"
GEN_AI_AGENT_ID: Final = "gen_ai.agent.id"
GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
HTTP_ROUTE: Final = "http.route"
URL_QUERY: Final = "url.query"
DB_SYSTEM_NAME: Final = "db.system.name"
DB_SYSTEM_POSTGRESQL: Final = "postgresql"
DB_NAMESPACE: Final = "db.namespace"
DB_OPERATION_NAME: Final = "db.operation.name"
DB_OPERATION_BATCH_SIZE: Final = "db.operation.batch.size"
DB_BATCH: Final = "BATCH"
# The instrumentations speak the old names unless this variable asks for the stable ones.
SEMCONV_OPT_IN: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"
STABLE_SIGNALS: Final = ("http", "database")

# --- metrics ----------------------------------------------------------------------------------------------------------

APP: Final = "app"  # exposed as app_info
ACTIVE_REQUESTS: Final = "active_requests"
HTTP_REQUESTS_TOTAL: Final = "http_requests_total"
HTTP_REQUEST_DURATION_SECONDS: Final = "http_request_duration_seconds"
RETRIES_TOTAL: Final = "agentmesh_retries_total"
CIRCUIT_STATE: Final = "agentmesh_circuit_state"
CIRCUIT_TRANSITIONS_TOTAL: Final = "agentmesh_circuit_transitions_total"
BULKHEAD_ACTIVE: Final = "agentmesh_bulkhead_active"
BULKHEAD_WAITING: Final = "agentmesh_bulkhead_waiting"
BULKHEAD_REFUSED_TOTAL: Final = "agentmesh_bulkhead_refused_total"
PROJECTION_LAG_EVENTS: Final = "agentmesh_projection_lag_events"
PROJECTION_LAG_SECONDS: Final = "agentmesh_projection_lag_seconds"
PROJECTION_LAST_EVENT_TIMESTAMP_SECONDS: Final = "agentmesh_projection_last_event_timestamp_seconds"
PROJECTED_EVENTS_TOTAL: Final = "agentmesh_projected_events_total"
OUTBOX_PENDING: Final = "agentmesh_outbox_pending"
DEAD_LETTERS_TOTAL: Final = "agentmesh_dead_letters_total"
DLQ_REQUEUED_TOTAL: Final = "agentmesh_dlq_requeued_total"
COMMANDS_HANDLED_TOTAL: Final = "agentmesh_commands_handled_total"
COMMANDS_REJECTED_TOTAL: Final = "agentmesh_commands_rejected_total"
DUPLICATES_ABSORBED_TOTAL: Final = "agentmesh_duplicates_absorbed_total"
BATCH_RECORDS: Final = "agentmesh_batch_records"
HANDLE_DURATION_SECONDS: Final = "agentmesh_handle_duration_seconds"
EVENT_APPEND_DURATION_SECONDS: Final = "agentmesh_event_append_duration_seconds"
EVENT_APPEND_CONFLICTS_TOTAL: Final = "agentmesh_event_append_conflicts_total"
EVENTS_RELAYED_TOTAL: Final = "agentmesh_events_relayed_total"
ACTIVE_AGENTS: Final = "agentmesh_active_agents"
HEALTH_CHECK_FAILURES_TOTAL: Final = "agentmesh_health_check_failures_total"
RELAY_LEADER: Final = "agentmesh_relay_leader"
RELAY_PAGE_SECONDS: Final = "agentmesh_relay_page_seconds"
CONSUMER_LAG_MESSAGES: Final = "agentmesh_consumer_lag_messages"
CONSUMER_LAG_SECONDS: Final = "agentmesh_consumer_lag_seconds"
REBALANCES_TOTAL: Final = "agentmesh_rebalances_total"
POOL_CONNECTIONS: Final = "agentmesh_pool_connections"
POOL_WAITING: Final = "agentmesh_pool_waiting"
GATHER_SECONDS: Final = "agentmesh_gather_seconds"
EFFECTS_TOTAL: Final = "agentmesh_effects_total"
EVENT_STREAMS: Final = "agentmesh_event_streams"
EVENT_STREAMS_CLOSED_TOTAL: Final = "agentmesh_event_streams_closed_total"
EVENTS_STREAMED_TOTAL: Final = "agentmesh_events_streamed_total"
SIGN_IN_FAILURES_TOTAL: Final = "agentmesh_sign_in_failures_total"
# Two families side by side, each spelled as its requirement has it.
TASK_EXECUTION_SECONDS: Final = "agentmesh_task_execution_seconds"
TASKS_COMPLETED_TOTAL: Final = "agentmesh_tasks_completed_total"
AGENT_EXECUTION_DURATION_SECONDS: Final = "agent_execution_duration_seconds"
AGENT_EXECUTION_ERRORS_TOTAL: Final = "agent_execution_errors_total"
LLM_TOKENS_USED_TOTAL: Final = "llm_tokens_used_total"
LLM_COST_USD_TOTAL: Final = "agentmesh_llm_cost_usd_total"
CACHE_HITS_TOTAL: Final = "cache_hits_total"
CACHE_MISSES_TOTAL: Final = "cache_misses_total"

EVENTS_APPENDED_TOTAL: Final = "agentmesh_events_appended_total"
REQUEST_DURATION_SECONDS: Final = "agentmesh_request_duration_seconds"
APPROVAL_WAIT_SECONDS: Final = "agentmesh_approval_wait_seconds"
APPROVALS_PENDING: Final = "agentmesh_approvals_pending"
DISPATCH_WAIT_SECONDS: Final = "agentmesh_dispatch_wait_seconds"
DISPATCH_DECISIONS_TOTAL: Final = "agentmesh_dispatch_decisions_total"
LIVE_HOSTS: Final = "agentmesh_live_hosts"
WORKER_ATTEMPT_TIMESTAMP_SECONDS: Final = "agentmesh_worker_attempt_timestamp_seconds"
COMPONENT_HEALTH: Final = "agentmesh_component_health"
TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS: Final = "agentmesh_tls_certificate_expiry_timestamp_seconds"
PERMISSIONS_REFUSED_TOTAL: Final = "agentmesh_permissions_refused_total"
RATE_LIMITED_TOTAL: Final = "agentmesh_rate_limited_total"
SPANS_DROPPED_TOTAL: Final = "agentmesh_spans_dropped_total"
LOG_LINES_TOTAL: Final = "agentmesh_log_lines_total"
# What the leading monitor tells of the whole mesh, dead workers included.
MONITOR_LEADER: Final = "agentmesh_monitor_leader"
LAG_MESSAGES: Final = "agentmesh_lag_messages"
LAG_SECONDS: Final = "agentmesh_lag_seconds"
WAITING: Final = "agentmesh_waiting"
OLDEST_WAITING_SECONDS: Final = "agentmesh_oldest_waiting_seconds"
PARKED_KEYS: Final = "agentmesh_parked_keys"
PARKED_RECORDS: Final = "agentmesh_parked_records"
OLDEST_PARKED_SECONDS: Final = "agentmesh_oldest_parked_seconds"
REBUILD_ORDERS: Final = "agentmesh_rebuild_orders"
OLDEST_REBUILD_ORDER_SECONDS: Final = "agentmesh_oldest_rebuild_order_seconds"

# The value under which everything beyond a label's limit is counted.
OTHER_LABEL: Final = "other"
