//! Lambda: AWS's JSON through the `lambda-edge` export.
