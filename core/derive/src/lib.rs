//! `#[derive(Record)]` for structs with named fields, see [`Record`](macro@Record).
//!
//! Code that a derive writes has to name the crate that it uses, and people depend on different
//! ones: on `millstream-data`, or on a facade that re-exports it. So there is a derive for each,
//! which the facade re-exports under the name `Record`: nobody needs a second dependency, and no
//! manifest is read while the compiler runs.

use proc_macro::TokenStream;
use proc_macro2::{Ident, TokenStream as Tokens};
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, LitStr, Path, Result, Type, Visibility};

/// Makes a struct with named fields a record: a row, whose columns are the fields.
///
/// It implements the traits `Value`, and so `Record`, and `RowValue`, which state, sorting and the
/// accumulators of functions need. The struct has to be `Clone`, has no generic parameters, and
/// each field is a `Value`: a number, text, a list, another record. A table of them stands at the
/// trait `Record`.
///
/// - A column has its field's name: write `r#type` for a column `type`. Fields take no attribute.
/// - For `struct Flight` it generates `FlightView<'_>`, the row as it is read in place, with the
///   visibility and the fields of the struct: `&str` for `String`, `Option` of the view for
///   `Option`. `flight.view()` gives the view of a struct, and `Flight::own(view)` a struct of a
///   view. `FlightColumns` and `FlightSlots` stand beside it, and are nobody's business.
/// - `#[record(key)]` on the struct implements `Key`, too, so that records can be grouped by it.
///   Its fields are keys then: no floating-point numbers, lists or maps.
/// - `#[record(crate = "path")]` on the struct says where `millstream_data` is, for those who reach
///   it by another way than the crate whose derive they use.
///
/// ```
/// use millstream_data::{Record, Value};
///
/// #[derive(Clone, Record)]
/// #[record(key)]
/// struct Route {
///     origin: String,
///     r#type: Option<u8>,
/// }
///
/// fn is_long(route: RouteView<'_>) -> bool {
///     route.origin != "JFK" && route.r#type == Some(1)
/// }
///
/// let route = Route { origin: "LGA".into(), r#type: Some(1) };
/// assert!(is_long(route.view()));
/// assert_eq!(Route::own(route.view()).origin, "LGA");
/// assert_eq!(Route::schema().to_string(), "origin STRING NOT NULL, type UNSIGNED TINYINT");
/// ```
#[proc_macro_derive(Record, attributes(record))]
pub fn record(input: TokenStream) -> TokenStream {
    derive(input, quote!(::millstream_data))
}

/// Implements `Value` and `RowValue` for a struct and generates its view.
#[doc(hidden)]
#[proc_macro_derive(RecordOfCore, attributes(record))]
pub fn record_of_core(input: TokenStream) -> TokenStream {
    derive(input, quote!(::millstream_core::data))
}

/// Implements `Value` and `RowValue` for a struct and generates its view.
#[doc(hidden)]
#[proc_macro_derive(RecordOfSdk, attributes(record))]
pub fn record_of_sdk(input: TokenStream) -> TokenStream {
    derive(input, quote!(::millstream_sdk::data))
}

/// Implements `Value` and `RowValue` for a struct and generates its view.
#[doc(hidden)]
#[proc_macro_derive(RecordOfHost, attributes(record))]
pub fn record_of_host(input: TokenStream) -> TokenStream {
    derive(input, quote!(::millstream::data))
}

/// `data` is the path of `millstream_data` for those who use this derive.
fn derive(input: TokenStream, data: Tokens) -> TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input, data).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// What the derive reads of the struct.
struct Struct<'a> {
    name: &'a Ident,
    visibility: &'a Visibility,
    fields: Vec<(&'a Visibility, &'a Ident, &'a Type)>,
    /// Where `millstream_data` is.
    data: Tokens,
    key: bool,
}

fn expand(input: &DeriveInput, data: Tokens) -> Result<Tokens> {
    let attributes = Attributes::of(input)?;
    let Data::Struct(body) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "Record is derived for structs"));
    };
    let Fields::Named(named) = &body.fields else {
        return Err(Error::new_spanned(
            &input.ident,
            "Record needs named fields: they are the names of the columns",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a Record has no generic parameters"));
    }
    let attributes_of_fields = named.named.iter().flat_map(|field| &field.attrs);
    if let Some(attribute) = attributes_of_fields.into_iter().find(|a| a.path().is_ident("record"))
    {
        return Err(Error::new_spanned(
            attribute,
            "fields take no `record` attribute: a column has its field's name, so write `r#type`",
        ));
    }
    let fields: Vec<_> = named
        .named
        .iter()
        .filter_map(|field| Some((&field.vis, field.ident.as_ref()?, &field.ty)))
        .collect();
    if fields.is_empty() {
        return Err(Error::new_spanned(&input.ident, "a Record has at least one field"));
    }
    let parsed = Struct {
        name: &input.ident,
        visibility: &input.vis,
        fields,
        data: attributes.data.unwrap_or(data),
        key: attributes.key,
    };
    let types = types(&parsed);
    let (value, row) = (value(&parsed), row(&parsed));
    let key = if parsed.key { key(&parsed) } else { Tokens::new() };
    Ok(quote!(#types #value #row #key))
}

/// What `#[record(..)]` says.
#[derive(Default)]
struct Attributes {
    key: bool,
    data: Option<Tokens>,
}

impl Attributes {
    fn of(input: &DeriveInput) -> Result<Self> {
        let mut found = Self::default();
        for attribute in input.attrs.iter().filter(|a| a.path().is_ident("record")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("key") {
                    found.key = true;
                } else if meta.path.is_ident("crate") {
                    let path: Path = meta.value()?.parse::<LitStr>()?.parse()?;
                    found.data = Some(quote!(#path));
                } else {
                    return Err(meta.error("expected `key` or `crate = \"path\"`"));
                }
                Ok(())
            })?;
        }
        Ok(found)
    }
}

fn types(parsed: &Struct<'_>) -> Tokens {
    let Struct { name, visibility, fields, data, .. } = parsed;
    let (view, columns, slots) = names(name);
    let view_doc = format!("A [`{name}`] that is read in place.");
    let view_fields = fields.iter().map(|(vis, field, ty)| {
        let doc = format!("[`{name}::{field}`], in place.");
        quote!(#[doc = #doc] #vis #field: <#ty as #data::Value>::View<'a>)
    });
    let column_fields =
        fields.iter().map(|(_, field, ty)| quote!(#field: <#ty as #data::Value>::Columns<'a>));
    let slot_fields =
        fields.iter().map(|(_, field, ty)| quote!(#field: <#ty as #data::Value>::Slots));
    quote! {
        #[doc = #view_doc]
        #[derive(Clone, Copy, Debug, PartialEq)]
        #visibility struct #view<'a> {
            #(#view_fields,)*
        }

        #[doc(hidden)]
        #[derive(Clone, Copy)]
        #visibility struct #columns<'a> {
            #(#column_fields,)*
        }

        #[doc(hidden)]
        #[derive(Clone, Copy)]
        #visibility struct #slots { #(#slot_fields,)* }
    }
}

fn value(parsed: &Struct<'_>) -> Tokens {
    let Struct { name, fields, data, .. } = parsed;
    let (view, columns, slots) = names(name);
    let names: Vec<_> = fields.iter().map(|(_, field, _)| *field).collect();
    let labels = names.iter().map(|field| {
        let label = field.to_string();
        label.strip_prefix("r#").map_or(label.clone(), str::to_owned)
    });
    let types: Vec<_> = fields.iter().map(|(_, _, ty)| *ty).collect();
    quote! {
        impl #data::Value for #name {
            type View<'a> = #view<'a>;
            type Slots = #slots;
            type Columns<'a> = #columns<'a>;
            const NESTED: bool = true;
            const LISTS: usize = 0 #(+ <#types as #data::Value>::LISTS)*;

            fn data_type() -> #data::types::DataType {
                #data::types::DataType::Row(::core::iter::FromIterator::from_iter([
                    #(#data::value::field::<#types>(#labels)),*
                ]))
            }

            fn slots(cursor: &mut #data::page::SlotCursor<'_>) -> #slots {
                #slots { #(#names: <#types as #data::Value>::slots(cursor)),* }
            }

            fn columns<'a>(
                cursor: &mut #data::page::ColumnCursor<'a>,
            ) -> #columns<'a> {
                #columns {
                    #(#names: <#types as #data::Value>::columns(cursor),)*
                }
            }

            #[inline(always)]
            fn at<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::View<'a> {
                #view {
                    #(#names: <#types as #data::Value>::at(&columns.#names, row),)*
                }
            }

            #[inline(always)]
            fn view(&self) -> #view<'_> {
                #view {
                    #(#names: <#types as #data::Value>::view(&self.#names),)*
                }
            }

            fn own(view: #view<'_>) -> Self {
                Self { #(#names: <#types as #data::Value>::own(view.#names)),* }
            }

            #[inline(always)]
            fn put(
                view: #view<'_>,
                slots: #slots,
                row: usize,
                cells: &mut #data::page::Cells<'_>,
            ) -> ::core::result::Result<(), #data::page::Full> {
                #(<#types as #data::Value>::put(view.#names, slots.#names, row, cells)?;)*
                ::core::result::Result::Ok(())
            }

            #[inline]
            fn heap_bytes(view: #view<'_>) -> usize {
                0 #(+ <#types as #data::Value>::heap_bytes(view.#names))*
            }

            fn count_elements(view: #view<'_>, domain: usize, elements: &mut [u32]) {
                let mut next = domain;
                #(
                    <#types as #data::Value>::count_elements(
                        view.#names, next, elements,
                    );
                    next += <#types as #data::Value>::LISTS;
                )*
                let _ = next;
            }

            fn put_null(
                slots: #slots,
                row: usize,
                cells: &mut #data::page::Cells<'_>,
            ) {
                #(<#types as #data::Value>::put_null(slots.#names, row, cells);)*
            }
        }
    }
}

fn row(parsed: &Struct<'_>) -> Tokens {
    let Struct { name, fields, data, .. } = parsed;
    let (view, ..) = names(name);
    let names: Vec<_> = fields.iter().map(|(_, field, _)| *field).collect();
    let types: Vec<_> = fields.iter().map(|(_, _, ty)| *ty).collect();
    quote! {
        impl #data::row::RowValue for #name {
            fn write(view: #view<'_>, row: &mut #data::row::RowWriter<'_>) {
                #(<#types as #data::row::RowValue>::write(view.#names, row);)*
            }

            fn write_absent(row: &mut #data::row::RowWriter<'_>) {
                #(<#types as #data::row::RowValue>::write_absent(row);)*
            }

            fn read<'a>(row: &mut #data::row::RowReader<'a>) -> #view<'a> {
                #view { #(#names: <#types as #data::row::RowValue>::read(row),)* }
            }
        }
    }
}

fn key(parsed: &Struct<'_>) -> Tokens {
    let Struct { name, fields, data, .. } = parsed;
    let (view, ..) = names(name);
    let names: Vec<_> = fields.iter().map(|(_, field, _)| *field).collect();
    let types: Vec<_> = fields.iter().map(|(_, _, ty)| *ty).collect();
    quote! {
        impl #data::Key for #name {
            #[inline(always)]
            fn hash(view: #view<'_>, state: u64) -> u64 {
                #(let state = <#types as #data::Key>::hash(view.#names, state);)*
                state
            }

            #[inline(always)]
            fn same(a: #view<'_>, b: #view<'_>) -> bool {
                #(<#types as #data::Key>::same(a.#names, b.#names))&&*
            }
        }
    }
}

fn names(name: &Ident) -> (Ident, Ident, Ident) {
    (format_ident!("{name}View"), format_ident!("{name}Columns"), format_ident!("{name}Slots"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(item: &str) -> String {
        let input: DeriveInput = syn::parse_str(item).expect("an item");
        expand(&input, quote!(data)).expect_err("it is refused").to_string()
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        let said = refused("struct Row { #[record(name = \"type\")] kind: u8 }");
        assert!(said.starts_with("fields take no `record` attribute: "), "{said}");
        let said = refused("#[record(name = \"rows\")] struct Row { kind: u8 }");
        assert_eq!(said, "expected `key` or `crate = \"path\"`");
        for (item, why) in [
            ("struct Row(u8);", "named fields"),
            ("enum Row { A }", "for structs"),
            ("struct Row<T> { kind: T }", "no generic parameters"),
            ("struct Row {}", "at least one field"),
        ] {
            assert!(refused(item).contains(why), "{item}");
        }
    }
}
