//! The instance map: size profile → node group, instance type, footprint.
