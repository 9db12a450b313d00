"""The shapes of all messages, as protocol buffer definitions.

Owns `PROTO`, the single source of the message classes in `durably.protocol.messages`; nothing is
generated into files. Names of messages are the protocol's names without their `Message` suffix,
which never travel; field numbers and types do. All notifications share one shape, `Notification`.

Source: the `protocol.proto` of the service protocol, versions V5 to V7.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PACKAGE", "PROTO"]

PACKAGE: Final = "durably.protocol"

PROTO: Final = """
syntax = "proto3";
package durably.protocol;

// ---- Control ----

// Opens an attempt: who is invoked, how many journal entries follow, which state is known.
message Start {
  bytes id = 1;
  string debug_id = 2;
  uint32 known_entries = 3;
  repeated StateEntry state_map = 4;
  bool partial_state = 5;
  string key = 6;
  uint32 retry_count_since_last_stored_entry = 7;
  uint64 duration_since_last_stored_entry = 8;
  uint64 random_seed = 9;  // since V6
  optional string scope = 10;  // since V7
  optional string limit_key = 11;  // since V7
  optional string idempotency_key = 12;  // since V7
}

message StateEntry {
  bytes key = 1;
  bytes value = 2;
}

// Ends an attempt that cannot go on: V5 and V6 name notifications, V7 gives a tree.
message Suspension {
  repeated uint32 waiting_completions = 1;  // until V6
  repeated uint32 waiting_signals = 2;  // until V6
  repeated string waiting_named_signals = 3;  // until V6
  Future awaiting_on = 4;  // since V7
}

// Ends an attempt that failed; it will be retried unless `behavior` says otherwise.
message Error {
  uint32 code = 1;
  string message = 2;
  string stacktrace = 3;
  optional uint32 related_command_index = 4;
  optional string related_command_name = 5;
  optional uint32 related_command_type = 6;
  optional uint64 next_retry_delay = 8;
  ErrorBehavior behavior = 9;  // since V7
}

// Ends an attempt whose output is written.
message End {
}

message CommandAck {
  uint32 command_index = 1;
}

// The result of a step, offered for storing. `value` is bare bytes, not a Value.
message ProposeRunCompletion {
  uint32 result_completion_id = 1;
  oneof result {
    bytes value = 14;
    Failure failure = 15;
  }
}

// Since V7: what the handler waits for while its stream stays open.
message AwaitingOn {
  Future awaiting_on = 1;
  bool executing_side_effects = 2;
}

// Since V7: a proposed completion is stored as it was proposed.
message ProposeRunCompletionAck {
  uint32 completion_id = 1;
}

// ---- Commands ----

message InputCommand {
  repeated Header headers = 1;
  string name = 12;
  Value value = 14;
}

message OutputCommand {
  string name = 12;
  oneof result {
    Value value = 14;
    Failure failure = 15;
  }
}

message GetLazyStateCommand {
  bytes key = 1;
  uint32 result_completion_id = 11;
  string name = 12;
}

message SetStateCommand {
  bytes key = 1;
  Value value = 3;
  string name = 12;
}

message ClearStateCommand {
  bytes key = 1;
  string name = 12;
}

message ClearAllStateCommand {
  string name = 12;
}

message GetLazyStateKeysCommand {
  uint32 result_completion_id = 11;
  string name = 12;
}

message GetEagerStateCommand {
  bytes key = 1;
  string name = 12;
  oneof result {
    Void void = 13;
    Value value = 14;
  }
}

message GetEagerStateKeysCommand {
  string name = 12;
  StateKeys value = 14;
}

message GetPromiseCommand {
  string key = 1;
  uint32 result_completion_id = 11;
  string name = 12;
}

message PeekPromiseCommand {
  string key = 1;
  uint32 result_completion_id = 11;
  string name = 12;
}

message CompletePromiseCommand {
  string key = 1;
  oneof completion {
    Value completion_value = 2;
    Failure completion_failure = 3;
  }
  uint32 result_completion_id = 11;
  string name = 12;
}

// `wake_up_time` is in milliseconds since the epoch.
message SleepCommand {
  uint64 wake_up_time = 1;
  uint32 result_completion_id = 11;
  string name = 12;
}

message CallCommand {
  string service_name = 1;
  string handler_name = 2;
  bytes parameter = 3;
  repeated Header headers = 4;
  string key = 5;
  optional string idempotency_key = 6;
  optional string scope = 7;  // since V7
  optional string limit_key = 8;  // since V7
  uint32 invocation_id_notification_idx = 10;
  uint32 result_completion_id = 11;
  string name = 12;
}

// `invoke_time` is in milliseconds since the epoch; 0 means now.
message OneWayCallCommand {
  string service_name = 1;
  string handler_name = 2;
  bytes parameter = 3;
  uint64 invoke_time = 4;
  repeated Header headers = 5;
  string key = 6;
  optional string idempotency_key = 7;
  optional string scope = 8;  // since V7
  optional string limit_key = 9;  // since V7
  uint32 invocation_id_notification_idx = 10;
  string name = 12;
}

// The only command whose label is not called `name`, which is the signal's name here.
message SendSignalCommand {
  string target_invocation_id = 1;
  oneof signal_id {
    uint32 idx = 2;
    string name = 3;
  }
  oneof result {
    Void void = 4;
    Value value = 5;
    Failure failure = 6;
  }
  string entry_name = 12;
}

message RunCommand {
  uint32 result_completion_id = 11;
  string name = 12;
}

message AttachInvocationCommand {
  oneof target {
    string invocation_id = 1;
    IdempotentRequestTarget idempotent_request_target = 3;
    WorkflowTarget workflow_target = 4;
  }
  uint32 result_completion_id = 11;
  string name = 12;
}

message GetInvocationOutputCommand {
  oneof target {
    string invocation_id = 1;
    IdempotentRequestTarget idempotent_request_target = 3;
    WorkflowTarget workflow_target = 4;
  }
  uint32 result_completion_id = 11;
  string name = 12;
}

message CompleteAwakeableCommand {
  string awakeable_id = 1;
  oneof result {
    Value value = 2;
    Failure failure = 3;
  }
  string name = 12;
}

// ---- Notifications ----

// Which results occur depends on the message type of the frame.
message Notification {
  oneof id {
    uint32 completion_id = 1;
    uint32 signal_id = 2;
    string signal_name = 3;
  }
  oneof result {
    Void void = 4;
    Value value = 5;
    Failure failure = 6;
    string invocation_id = 16;
    StateKeys state_keys = 17;
  }
}

// ---- Parts of messages ----

message Value {
  bytes content = 1;
}

message Failure {
  uint32 code = 1;
  string message = 2;
  repeated FailureMetadata metadata = 3;  // since V6
}

message FailureMetadata {
  string key = 1;
  string value = 2;
}

message Header {
  string key = 1;
  string value = 2;
}

message StateKeys {
  repeated bytes keys = 1;
}

message Void {
}

message WorkflowTarget {
  string workflow_name = 1;
  string workflow_key = 2;
  optional string scope = 3;  // since V7
}

message IdempotentRequestTarget {
  string service_name = 1;
  optional string service_key = 2;
  string handler_name = 3;
  string idempotency_key = 4;
  optional string scope = 5;  // since V7
}

// Since V7: a tree of what is awaited. The three lists and the nested futures are its children.
message Future {
  repeated uint32 waiting_completions = 1;
  repeated uint32 waiting_signals = 2;
  repeated string waiting_named_signals = 3;
  repeated Future nested_futures = 4;
  CombinatorType combinator_type = 5;
}

enum CombinatorType {
  COMBINATOR_TYPE_UNKNOWN = 0;
  FIRST_COMPLETED = 1;
  ALL_COMPLETED = 2;
  FIRST_SUCCEEDED_OR_ALL_FAILED = 3;
  ALL_SUCCEEDED_OR_FIRST_FAILED = 4;
}

enum ErrorBehavior {
  RETRY = 0;
  PAUSE = 1;
  FAIL = 2;
}
"""
