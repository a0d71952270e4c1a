package edge

import (
	"bytes"
	"errors"
	"testing"
)

// input is what the host writes: version, event, six strings, fields, no body.
func input() []byte {
	a := &Answer{data: []byte{1, 1}}
	for _, text := range []string{"id", "192.0.2.1", "GET", "/a", "q=1"} {
		a.text(text)
	}
	a.data = append(a.data, 1, 0, 0, 0)
	a.text("cookie")
	a.text("a=1; b=2")
	return append(a.data, 0)
}

func TestAHookReadsTheMessageAndItsEditsComeOut(t *testing.T) {
	Handle(func(m *Message, out *Answer) error {
		out.SetURI(m.URI + m.Cookie("b") + m.Query + m.ClientIP)
		return nil
	})
	want := append([]byte{1, 1, 15, 0, 0, 0}, "/a2q=1192.0.2.1"...)
	if got := answer(input()); !bytes.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAnErrorFailsTheCall(t *testing.T) {
	Handle(func(*Message, *Answer) error { return errors.New("no") })
	if got := answer(input()); !bytes.Equal(got, []byte{1, 9, 2, 0, 0, 0, 'n', 'o'}) {
		t.Errorf("%q", got)
	}
}
