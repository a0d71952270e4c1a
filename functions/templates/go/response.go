// A hook for viewer-response: runs before the viewer is answered.
package main

import (
	"os"
	"strconv"

	"rimward/edge"
)

func init() {
	edge.Handle(func(m *edge.Message, out *edge.Answer) error {
		out.SetHeader("strict-transport-security", "max-age=63072000")
		out.SetHeader("x-content-type-options", "nosniff")
		out.RemoveHeader("server")
		// Standard output is the log; what the builtin println writes would be errors in it.
		os.Stdout.WriteString("answered " + m.URI + " with " + strconv.Itoa(int(m.Status)) + "\n")
		return nil
	})
}

func main() {}
