// Package edge is for edge functions of Rimward in Go: the flat world (functions/wit/flat.md), config and the log.
//
//	package main
//
//	import "rimward/edge"
//
//	func init() {
//		edge.Handle(func(m *edge.Message, out *edge.Answer) error {
//			if strings.HasSuffix(m.URI, "/") {
//				out.SetURI(m.URI + "index.html")
//			}
//			return nil
//		})
//	}
//
//	func main() {}
//
// Compile: GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared. What the function prints is in its log; os.Getenv reads config.
package edge

import (
	"encoding/binary"
	"strings"
)

// Event is where in a request's course the function was called.
type Event uint8

const (
	ViewerRequest Event = 1 + iota
	OriginRequest
	OriginResponse
	ViewerResponse
)

// Field is one field line. Names are lower case in what the function is given.
type Field struct{ Name, Value string }

// Fields are the field lines of a message, in order.
type Fields []Field

// Get gives the first value of that name (lower case), or "".
func (f Fields) Get(name string) string {
	for _, field := range f {
		if field.Name == name {
			return field.Value
		}
	}
	return ""
}

// Message is what the function is given.
type Message struct {
	Event     Event
	RequestID string
	ClientIP  string
	Method    string
	URI       string
	// Query has no '?'.
	Query   string
	Request Fields
	// Body is nil unless the association has include_body.
	Body []byte
	// Truncated: there is more of the body than this.
	Truncated bool
	// Status is 0 at request events.
	Status   uint16
	Response Fields
}

// Cookie gives the value of a cookie of the request, or "".
func (m *Message) Cookie(name string) string {
	for _, field := range m.Request {
		if field.Name != "cookie" {
			continue
		}
		for _, pair := range strings.Split(field.Value, ";") {
			if key, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && key == name {
				return value
			}
		}
	}
	return ""
}

// Answer collects the edits, in order.
type Answer struct{ data []byte }

func (a *Answer) SetURI(uri string)     { a.op(1, uri) }
func (a *Answer) SetQuery(query string) { a.op(2, query) }
func (a *Answer) RemoveHeader(n string) { a.op(5, n) }
func (a *Answer) SetBody(body string)   { a.op(6, body) }
func (a *Answer) ChooseOrigin(n string) { a.op(10, n) }
func (a *Answer) fail(words string)     { a.op(9, words) }
func (a *Answer) SetStatus(status uint16) {
	a.data = binary.LittleEndian.AppendUint16(append(a.data, 7), status)
}

// SetHeader replaces all lines of that name: of the request at request events, of the response at response events.
func (a *Answer) SetHeader(name, value string) { a.op(3, name, value) }

// AppendHeader adds a line.
func (a *Answer) AppendHeader(name, value string) { a.op(4, name, value) }

// Respond answers instead of going on.
func (a *Answer) Respond(status uint16, fields Fields, body string) {
	a.data = binary.LittleEndian.AppendUint16(append(a.data, 8), status)
	a.data = binary.LittleEndian.AppendUint32(a.data, uint32(len(fields)))
	for _, field := range fields {
		a.text(field.Name)
		a.text(field.Value)
	}
	a.text(body)
}

func (a *Answer) op(code byte, operands ...string) {
	a.data = append(a.data, code)
	for _, operand := range operands {
		a.text(operand)
	}
}

func (a *Answer) text(text string) {
	a.data = binary.LittleEndian.AppendUint32(a.data, uint32(len(text)))
	a.data = append(a.data, text...)
}

// Hook is a function's code. An error fails the call with its words in the log.
type Hook func(*Message, *Answer) error

var hook Hook

// Handle sets the hook. Call it from init.
func Handle(h Hook) { hook = h }

// answer runs the hook on what the host wrote, whose lengths can be trusted.
func answer(input []byte) []byte {
	r := reader(input)
	out := &Answer{data: append(make([]byte, 0, 512), 1)}
	if hook == nil {
		out.fail("no hook: call edge.Handle from init")
	} else if err := hook(r.message(), out); err != nil {
		out.fail(err.Error())
	}
	return out.data
}

type reader []byte

func (r *reader) message() *Message {
	event := r.take(2)[1]
	m := &Message{Event: Event(event)}
	m.RequestID, m.ClientIP, m.Method, m.URI, m.Query = r.text(), r.text(), r.text(), r.text(), r.text()
	m.Request = r.fields()
	if body := r.take(1)[0]; body != 0 {
		m.Body, m.Truncated = []byte(r.text()), body == 2
	}
	if m.Event >= OriginResponse {
		m.Status = binary.LittleEndian.Uint16(r.take(2))
		m.Response = r.fields()
	}
	return m
}

func (r *reader) fields() Fields {
	fields := make(Fields, binary.LittleEndian.Uint32(r.take(4)))
	for i := range fields {
		fields[i].Name, fields[i].Value = r.text(), r.text()
	}
	return fields
}

func (r *reader) text() string {
	return string(r.take(int(binary.LittleEndian.Uint32(r.take(4)))))
}

func (r *reader) take(count int) []byte {
	head := (*r)[:count]
	*r = (*r)[count:]
	return head
}
