//! Subscriptions and resource groups.

use serde_json::json;

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::request::{Request, verb};
use super::super::world::World;
use super::{envelope, made_status, put_at_once, unknown};

/// Regions: name, display name, pair of zones or none.
pub(super) const REGIONS: &[(&str, &str, bool)] = &[
    ("centralus", "Central US", true),
    ("eastus2", "East US 2", true),
    ("westcentralus", "West Central US", false),
    ("westeurope", "West Europe", true),
];

pub(super) fn answer(world: &mut World, request: &Request) -> Outcome {
    let subscription = request.place.kind == "subscriptions";
    match verb(request) {
        ("GET", Some(rest)) if subscription && rest.eq_ignore_ascii_case("locations") => Ok(locations(request)),
        ("GET", Some(rest)) if subscription && rest.eq_ignore_ascii_case("resourceGroups") => {
            let below = world.below(request.id(), "Microsoft.Resources", "resourceGroups");
            Ok(world.page(request, below))
        }
        ("GET", None) if subscription => Ok(Answer::ok(json!({
            "id": request.id(),
            "subscriptionId": request.place.name(),
            "displayName": "Migration",
            "state": "Enabled",
        }))),
        ("GET" | "HEAD", None) => world.show(request).map_err(|_| missing(request)),
        ("PUT", None) if !subscription => {
            let mut body = envelope(request)?;
            body["properties"] = json!({ "provisioningState": "Succeeded" });
            let status = made_status(world, request.id());
            Ok(put_at_once(world, request, body, status))
        }
        ("DELETE", None) if !subscription => {
            if !world.remove(request.id()) {
                return Err(missing(request));
            }
            Ok(Answer::empty(200))
        }
        _ => Err(unknown(request)),
    }
}

fn missing(request: &Request) -> ArmError {
    let name = request.place.name();
    ArmError::new(404, "ResourceGroupNotFound", format!("Resource group '{name}' could not be found."))
}

fn locations(request: &Request) -> Answer {
    let location = |(name, display, zones): &(&str, &str, bool)| {
        let mut location = json!({
            "id": format!("{}/locations/{name}", request.id()),
            "name": name,
            "type": "Region",
            "displayName": display,
            "regionalDisplayName": display,
            "metadata": { "regionType": "Physical", "regionCategory": "Recommended" },
        });
        if *zones {
            let zone =
                |zone: u8| json!({ "logicalZone": zone.to_string(), "physicalZone": format!("{name}-az{zone}") });
            location["availabilityZoneMappings"] = (1..=3).map(zone).collect();
        }
        location
    };
    Answer::ok(json!({ "value": REGIONS.iter().map(location).collect::<Vec<_>>() }))
}
