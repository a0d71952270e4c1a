// A hook for viewer-response: runs before the viewer is answered.
package main

import "rimward/edge"

func init() {
	edge.Handle(func(m *edge.Message, out *edge.Answer) error {
		out.SetHeader("strict-transport-security", "max-age=63072000")
		out.SetHeader("x-content-type-options", "nosniff")
		out.RemoveHeader("server")
		println("answered", m.URI, "with", m.Status)
		return nil
	})
}

func main() {}
