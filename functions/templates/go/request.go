// A hook for viewer-request: runs before the cache is asked.
package main

import (
	"os"
	"strings"

	"rimward/edge"
)

func init() {
	edge.Handle(func(m *edge.Message, out *edge.Answer) error {
		// Answer by itself: nothing further is asked.
		if rest, old := strings.CutPrefix(m.URI, "/old/"); old {
			out.Respond(301, edge.Fields{{Name: "location", Value: "/new/" + rest}}, "")
			return nil
		}

		// Or go on with a changed request.
		if strings.HasSuffix(m.URI, "/") {
			out.SetURI(m.URI + "index.html")
		}
		out.SetHeader("x-function", "NAME")
		// Standard output is the log; what the builtin println writes would be errors in it.
		os.Stdout.WriteString("asked for " + m.URI + "\n")
		return nil
	})
}

func main() {}
