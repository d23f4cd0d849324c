package language

import (
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// value writes a value in the shape that is wanted.
func (x *evaluation) value(v cty.Value, s *shape, f *field, path string, at hcl.Range) result {
	if v.IsMarked() {
		if v.HasMark(sensitive) {
			x.secretAt(path)
			x.hidden++
			defer func() { x.hidden-- }()
		}
		if isAbsent(v) {
			return x.absent(s, path, at)
		}
		v, _ = v.Unmark()
	}
	if v.IsNull() {
		return omitted
	}
	if !v.IsKnown() {
		if !couldBe(v.Type(), s) {
			return x.notA(s, path, at, v.Type())
		}
		return x.unknownAt(path)
	}
	switch s.form {
	case formList:
		return x.listValue(v, s, f, path, at)
	case formMap:
		return x.mapValue(v, s, f, path, at)
	case formObject:
		return x.objectValue(v, s, path, at)
	case formAny:
		if !v.IsWhollyKnown() {
			return x.unknownAt(path)
		}
		if deeplySensitive(v) {
			x.secretAt(path)
		}
		v, _ = v.UnmarkDeep()
		x.buf = appendAny(x.buf, v)
		return written
	}
	return x.primitive(v, s, f, path, at)
}

func (x *evaluation) absent(s *shape, path string, at hcl.Range) result {
	switch {
	case s.absent:
		x.buf = append(x.buf, "null"...)
		return written
	case s.goType == stateType:
		x.error(at, fmt.Sprintf("%s is a word, not a value that can be absent", path), hint(`write "absent", with quotation marks`))
	case s.form == formList:
		x.error(at, fmt.Sprintf("%s cannot be absent", path), hint("write [] for an empty list"))
	case s.form == formMap:
		x.error(at, fmt.Sprintf("%s cannot be absent as a whole", path), hint("write absent for its keys: { KEY = absent }"))
	default:
		x.error(at, fmt.Sprintf("%s cannot be absent", path), hint("it is %s", s))
	}
	return wrong
}

func (x *evaluation) notA(s *shape, path string, at hcl.Range, is cty.Type) result {
	x.error(at, fmt.Sprintf("%s must be %s", path, s), detail("Here it is %s.", typeName(is)))
	return wrong
}

// couldBe says whether an unknown value of a type may turn out right.
func couldBe(t cty.Type, s *shape) bool {
	if t == cty.DynamicPseudoType {
		return true
	}
	switch s.form {
	case formList:
		return t.IsListType() || t.IsSetType() || t.IsTupleType()
	case formMap, formObject:
		return t.IsMapType() || t.IsObjectType()
	case formAny:
		return true
	case formBool:
		return t == cty.Bool || t == cty.String
	case formInt, formFloat:
		return t == cty.Number || t == cty.String
	}
	return t.IsPrimitiveType()
}

// toPrimitive converts to a primitive type; most values are of it already.
func toPrimitive(v cty.Value, t cty.Type) (cty.Value, bool) {
	if v.Type() == t {
		return v, true
	}
	if !v.Type().IsPrimitiveType() && v.Type() != cty.DynamicPseudoType {
		return v, false
	}
	got, err := convert.Convert(v, t)
	return got, err == nil
}

func (x *evaluation) primitive(v cty.Value, s *shape, f *field, path string, at hcl.Range) result {
	want := cty.String
	switch s.form {
	case formBool:
		want = cty.Bool
	case formInt, formFloat:
		want = cty.Number
	}
	got, ok := toPrimitive(v, want)
	if !ok {
		return x.notA(s, path, at, v.Type())
	}
	if want == cty.Number && got.AsBigFloat().IsInf() {
		x.error(at, fmt.Sprintf("%s is divided by zero", path))
		return wrong
	}
	switch s.form {
	case formBool:
		x.buf = strconv.AppendBool(x.buf, got.True())
	case formInt:
		return x.whole(got.AsBigFloat(), s, path, at)
	case formFloat:
		x.buf = appendNumber(x.buf, got.AsBigFloat())
	case formDuration:
		d, err := time.ParseDuration(got.AsString())
		if err != nil {
			return x.notA(s, path, at, v.Type())
		}
		x.buf = strconv.AppendInt(x.buf, int64(d), 10)
	default:
		return x.word(got.AsString(), f, path, at)
	}
	return written
}

// whole writes a whole number that fits the field's type.
func (x *evaluation) whole(n *big.Float, s *shape, path string, at hcl.Range) result {
	i, accuracy := n.Int64()
	if accuracy != big.Exact {
		x.error(at, fmt.Sprintf("%s must be a whole number", path), detail("Here it is a number that is not whole, or too large."))
		return wrong
	}
	fits := true
	if s.goType != nil {
		v := reflect.Zero(s.goType)
		switch {
		case v.CanInt():
			fits = !v.OverflowInt(i)
		case v.CanUint():
			fits = i >= 0 && !v.OverflowUint(uint64(i))
		}
	}
	if !fits {
		x.error(at, fmt.Sprintf("%s is too large or too small", path))
		return wrong
	}
	x.buf = strconv.AppendInt(x.buf, i, 10)
	return written
}

func (x *evaluation) word(s string, f *field, path string, at hcl.Range) result {
	if f.enum != nil && !slices.Contains(f.enum, s) {
		if x.hidden > 0 || f.secret {
			x.error(at, fmt.Sprintf("%s cannot have this value", path), hint("it is one of %s", quoteList(f.enum)))
			return wrong
		}
		x.error(at, fmt.Sprintf("%s cannot be %q", path, s), meantOr(s, f.enum, "it is one of "+quoteList(f.enum)))
		return wrong
	}
	if f.host && !x.p.hasHost(s) {
		if x.hidden > 0 {
			x.error(at, fmt.Sprintf("%s names no host of the inventory", path))
			return wrong
		}
		names := namesIn(x.p.Hosts, func(h *Host) string { return h.Name })
		x.error(at, fmt.Sprintf("%s: there is no host %q", path, s), meant(s, names))
		return wrong
	}
	x.buf = appendString(x.buf, s)
	return written
}

// hasHost says whether there is a host of a name, as far as that can be told.
func (p *Program) hasHost(name string) bool {
	return p.values.noHosts || p.config.broken["host"] || p.config.broken["group"] || p.values.byName[name] != nil
}
