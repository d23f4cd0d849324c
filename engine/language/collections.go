package language

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"weft/engine/step"
)

var stateType = reflect.TypeFor[step.State]()

func (x *evaluation) listValue(v cty.Value, s *shape, f *field, path string, at hcl.Range) result {
	t := v.Type()
	if !t.IsListType() && !t.IsSetType() && !t.IsTupleType() {
		return x.notA(s, path, at, t)
	}
	out, begin := written, len(x.buf)
	leave := x.enterList(path)
	x.buf = append(x.buf, '[')
	i := 0
	for it := v.ElementIterator(); it.Next(); i++ {
		_, e := it.Element()
		if i > 0 {
			x.buf = append(x.buf, ',')
		}
		switch r := x.value(e, s.elem, f, path, at); r {
		case omitted:
			x.error(at, fmt.Sprintf("%s has an element that is null", path), hint("compact(LIST) leaves out nulls"))
			out = wrong
		case wrong, unknown:
			out = max(out, r)
		}
		if out == wrong {
			break // the others have most likely the same mistake
		}
	}
	x.buf = append(x.buf, ']')
	leave()
	if out == unknown {
		x.unknownAt(path)
	}
	return x.ended(out, begin)
}

func (x *evaluation) mapValue(v cty.Value, s *shape, f *field, path string, at hcl.Range) result {
	t := v.Type()
	if !t.IsMapType() && !t.IsObjectType() {
		return x.notA(s, path, at, t)
	}
	out, begin := written, len(x.buf)
	x.buf = append(x.buf, '{')
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		r := x.entry(e, s.elem, f, appendString(nil, k.AsString()), dotted(path, k.AsString()), at, begin)
		if r == wrong || r == unknown && x.inList != "" {
			out = max(out, r)
		}
	}
	x.buf = append(x.buf, '}')
	return x.ended(out, begin)
}

// entry writes a key and its value, or neither.
func (x *evaluation) entry(v cty.Value, s *shape, f *field, key []byte, path string, at hcl.Range, begin int) result {
	before := len(x.buf)
	if before > begin+1 {
		x.buf = append(x.buf, ',')
	}
	x.buf = append(x.buf, key...)
	if key[len(key)-1] != ':' {
		x.buf = append(x.buf, ':')
	}
	r := x.value(v, s, f, path, at)
	if r != written {
		x.buf = x.buf[:before]
	}
	if (r == written || r == unknown) && f.secret {
		x.secretAt(path)
	}
	return r
}

// objectValue writes an object whose attributes are known only now.
func (x *evaluation) objectValue(v cty.Value, s *shape, path string, at hcl.Range) result {
	t := v.Type()
	if !t.IsMapType() && !t.IsObjectType() {
		return x.notA(s, path, at, t)
	}
	given := map[string]cty.Value{}
	out, begin := written, len(x.buf)
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		given[k.AsString()] = e
		if s.field(k.AsString()) == nil {
			x.error(at, fmt.Sprintf("%s has no attribute %q", path, k.AsString()), meant(k.AsString(), s.names()))
			out = wrong
		}
	}
	x.buf = append(x.buf, '{')
	for _, f := range s.fields {
		e, ok := given[f.Name]
		r := omitted
		if ok {
			r = x.entry(e, f.shape, f, f.key, dotted(path, f.Name), at, begin)
		}
		switch {
		case r == omitted && f.fallback != nil && !ok:
			if len(x.buf) > begin+1 {
				x.buf = append(x.buf, ',')
			}
			x.buf = append(append(x.buf, f.key...), f.fallback...)
		case r == omitted && f.required:
			x.error(at, fmt.Sprintf("%s needs %q", path, f.Name), hint("it is %s", f.shape))
			out = wrong
		case r == wrong || r == unknown && x.inList != "":
			out = max(out, r)
		}
	}
	x.buf = append(x.buf, '}')
	return x.ended(out, begin)
}
