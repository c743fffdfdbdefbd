//! gRPC-Web, told as gRPC and back.
