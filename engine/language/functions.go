package language

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// pureFunctions are those that know nothing but their arguments.
func pureFunctions() map[string]function.Function {
	out := map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc,
		"max": stdlib.MaxFunc, "min": stdlib.MinFunc, "parseint": stdlib.ParseIntFunc,
		"pow": stdlib.PowFunc, "signum": stdlib.SignumFunc,

		"chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc,
		"compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
		"distinct": stdlib.DistinctFunc, "element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc,
		"index": stdlib.IndexFunc, "keys": stdlib.KeysFunc, "length": lengthFunction(), "lookup": stdlib.LookupFunc,
		"merge": stdlib.MergeFunc, "range": stdlib.RangeFunc, "reverse": stdlib.ReverseListFunc,
		"setintersection": stdlib.SetIntersectionFunc, "setproduct": stdlib.SetProductFunc,
		"setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc, "slice": stdlib.SliceFunc,
		"sort": stdlib.SortFunc, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,

		"chomp": stdlib.ChompFunc, "format": stdlib.FormatFunc, "formatlist": stdlib.FormatListFunc,
		"indent": stdlib.IndentFunc, "join": stdlib.JoinFunc, "lower": stdlib.LowerFunc,
		"regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc, "replace": stdlib.ReplaceFunc,
		"regexreplace": stdlib.RegexReplaceFunc,
		"split":        stdlib.SplitFunc, "strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc,
		"title": stdlib.TitleFunc, "trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc,
		"trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc,

		"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc,

		"can": tryfunc.CanFunc, "try": tryfunc.TryFunc,

		"tobool":   conversion("tobool", cty.Bool),
		"tolist":   conversion("tolist", cty.List(cty.DynamicPseudoType)),
		"tomap":    conversion("tomap", cty.Map(cty.DynamicPseudoType)),
		"tonumber": conversion("tonumber", cty.Number),
		"toset":    conversion("toset", cty.Set(cty.DynamicPseudoType)),
		"tostring": conversion("tostring", cty.String),

		"base64decode": ofText(decodeBase64),
		"base64encode": ofText(func(s string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(s)), nil }),
		"sha256": ofText(func(s string) (string, error) {
			sum := sha256.Sum256([]byte(s))
			return hex.EncodeToString(sum[:]), nil
		}),
		"startswith": ofTexts(strings.HasPrefix),
		"endswith":   ofTexts(strings.HasSuffix),
	}
	maps.Copy(out, networkFunctions())
	return out
}

func decodeBase64(s string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	switch {
	case err != nil:
		return "", errors.New("not base64")
	case !utf8.Valid(b):
		return "", errors.New("the decoded bytes are not UTF-8 text")
	}
	return string(b), nil
}

func ofText(f func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := f(args[0].AsString())
			return cty.StringVal(s), err
		},
	})
}

func ofTexts(f func(text, part string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: "part", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(f(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

// lengthFunction is the length of a collection, or of a string in characters.
func lengthFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{
			Name: "value", Type: cty.DynamicPseudoType,
			AllowDynamicType: true, AllowUnknown: true, AllowMarked: true,
		}},
		Type: function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, marks := args[0].Unmark()
			switch {
			case v.Type() == cty.String && v.IsKnown():
				n, err := stdlib.Strlen(v)
				return n.WithMarks(marks), err
			case v.Type() == cty.DynamicPseudoType || v.Type() == cty.String:
				return cty.UnknownVal(cty.Number).WithMarks(marks), nil
			case v.Type().IsObjectType():
				return cty.NumberIntVal(int64(len(v.Type().AttributeTypes()))).WithMarks(marks), nil
			case !v.CanIterateElements() && v.IsKnown():
				return cty.DynamicVal, errors.New("only strings, lists, maps and sets have a length")
			}
			return v.Length().WithMarks(marks), nil
		},
	})
}

// conversion converts to a type; lists whose elements have one type already
// are rewrapped, because the general way is quadratic for tuples.
func conversion(name string, want cty.Type) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{
			Name: "value", Type: cty.DynamicPseudoType,
			AllowNull: true, AllowUnknown: true, AllowMarked: true, AllowDynamicType: true,
		}},
		Type: func(args []cty.Value) (cty.Type, error) {
			v := args[0]
			if t, ok := uniform(v, want); ok {
				return t, nil
			}
			if v.Type() == cty.DynamicPseudoType && !v.IsKnown() {
				return want, nil
			}
			got, err := convert.Convert(v, want)
			if err != nil {
				return cty.NilType, fmt.Errorf("%s cannot use this: %w", name, err)
			}
			return got.Type(), nil
		},
		Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
			if _, ok := uniform(args[0], want); ok {
				v, marks := args[0].Unmark()
				if want.IsSetType() {
					return cty.SetVal(v.AsValueSlice()).WithMarks(marks), nil
				}
				return cty.ListVal(v.AsValueSlice()).WithMarks(marks), nil
			}
			return convert.Convert(args[0], t)
		},
	})
}

// uniform says that v is a tuple of elements of one type, and which collection
// of them is wanted.
func uniform(v cty.Value, want cty.Type) (cty.Type, bool) {
	t := v.Type()
	if !t.IsTupleType() || t.Length() == 0 || v.IsNull() || !v.IsKnown() || !want.IsListType() && !want.IsSetType() {
		return cty.NilType, false
	}
	types := t.TupleElementTypes()
	for _, e := range types {
		if !e.Equals(types[0]) {
			return cty.NilType, false
		}
	}
	if types[0] == cty.DynamicPseudoType {
		return cty.NilType, false
	}
	if want.IsSetType() {
		return cty.Set(types[0]), true
	}
	return cty.List(types[0]), true
}

// networkFunctions calculate with addresses, as their namesakes in Terraform
// do.
func networkFunctions() map[string]function.Function {
	text := function.Parameter{Name: "prefix", Type: cty.String}
	number := func(name string) function.Parameter { return function.Parameter{Name: name, Type: cty.Number} }
	return map[string]function.Function{
		"cidrhost": function.New(&function.Spec{
			Params: []function.Parameter{text, number("number")},
			Type:   function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return onPrefix(args, func(p netip.Prefix) (string, error) { return cidrHost(p, args[1].AsBigFloat()) })
			},
		}),
		"cidrnetmask": function.New(&function.Spec{
			Params: []function.Parameter{text},
			Type:   function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return onPrefix(args, cidrNetmask)
			},
		}),
		"cidrprefix": function.New(&function.Spec{
			Params: []function.Parameter{text},
			Type:   function.StaticReturnType(cty.Number),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				p, err := netip.ParsePrefix(args[0].AsString())
				if err != nil {
					return cty.DynamicVal, notPrefix(args[0].AsString())
				}
				return cty.NumberIntVal(int64(p.Bits())), nil
			},
		}),
		"cidrsubnet": function.New(&function.Spec{
			Params: []function.Parameter{text, number("newbits"), number("number")},
			Type:   function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return onPrefix(args, func(p netip.Prefix) (string, error) {
					return cidrSubnet(p, args[1].AsBigFloat(), args[2].AsBigFloat())
				})
			},
		}),
	}
}

func notPrefix(s string) error {
	return fmt.Errorf("%q is no network in CIDR notation such as 10.0.0.0/24", s)
}

func onPrefix(args []cty.Value, f func(netip.Prefix) (string, error)) (cty.Value, error) {
	p, err := netip.ParsePrefix(args[0].AsString())
	if err != nil {
		return cty.DynamicVal, notPrefix(args[0].AsString())
	}
	s, err := f(p.Masked())
	if err != nil {
		return cty.DynamicVal, err
	}
	return cty.StringVal(s), nil
}
