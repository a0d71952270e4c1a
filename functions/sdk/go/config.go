package edge

import "os"

// Config gives what the operator wrote under `config`, or "".
func Config(key string) string { return os.Getenv(key) }
